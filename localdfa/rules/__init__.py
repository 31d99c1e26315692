"""Learning rules, one file each: what changes a synapse, in the engines that the rule serves.

A rule is a class. ``engines`` names those that it serves, ``settled``, ``timed`` or ``spiking``, which ask it for what follows;
a setting that needs another engine is refused. ``own`` is its feedback pathway, and ``pathways`` are all that it works with,
none for any. ``needs_phases`` says whether a trial has nudged phases: a rule without them is one of the settled network,
whatever its neurons. ``Parameters``, a NamedTuple, are its parameters with their bounds and defaults, which the spec gives in
the table ``rules.NAME``.

``settled``: ``rule(network, phases, parameters)`` has two methods, which write the change Δz/β of one layer into ``change`` (m,
n), one row a sample. Weights then follow ΔW = η Σ_samples Δz xᵀ. For the exact rules Δz is −δa.

- ``hidden(l, free, moved, signal, change)`` is called for one hidden layer after the other, in the order of the feedback
  pathway. It is given the free phase, a `core.rate.settled.FreePhase`, and the feedback signal c_l (m, n_l). It returns two
  things: how many graded events the nudged phases took, and by how much they move the activity that layer l + 1 sees, (phases,
  m, n_l), or None where that layer sees no change. ``moved`` is the second of these for layer l − 1; it is None in the first.
- ``output(free, moved, error, change)`` is called last, with the error e (m, n_out); ``moved`` is that of the last hidden
  layer.

A rule keeps nothing from one call to the next.

``timed``: ``postsynaptic(neuron, parameters)`` is a compiled function of the neuron's parameters and its membrane: the activity
z of which a synapse reads the temporal derivative, ∫ x dz/β over the gate. ``hidden`` and ``output`` are not asked; the output
is taught −e x, as ``phases.teacher`` says.

``spiking``: what a synapse does at an arrival, at a postsynaptic spike, and where the gate opens and closes. The rule is a
subclass of `_spiking.SpikingRule`, which says how; here, too, the output is taught −e x.
"""
