"""Constant currents, one an input."""

from localdfa.inputs._code import Code


class Current(Code):
    """The activity of an input neuron is the input, from the onset of the trial to its end."""

    spikes = False


model = Current
