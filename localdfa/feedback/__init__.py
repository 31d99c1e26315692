"""Feedback pathways, one file each: how the error reaches the hidden layers.

A pathway says through which matrix the signal of hidden layer l (counted from 0) comes and what it carries. Its methods:
``shape(sizes, l)``, the shape of that layer's fixed random matrix, or None; ``order(n_hidden)``, the order in which the
layers get their signals; ``signal(network, l, error, change, out)``, which writes the signal c_l (m, n_l), in the units of
the error, into ``out``. ``change[k]`` is the postsynaptic change of a hidden layer already done, −δa_k of the equations.

``local``: under the local rule the signal is a current, so what a layer passes on must not be on its way at the same
time; ``propagations`` names the values of ``phases.propagation`` with which the pathway works. ``by_propagation`` says
that above the first layer the signal is carried by the activity itself.
"""
