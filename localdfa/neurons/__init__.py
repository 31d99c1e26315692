"""Neuron models, one file each.

A rate neuron is a ``NamedTuple`` of parameters (``tau`` in ms among them) with three compiled hooks: the activity ``f``,
its slope ``df`` (only the exact rules and the measurements read it) and ``inverse``, which turns an activity back into a
drive so that threshold crossings are solved in closed form. Every ``f`` is monotone: the events rely on it.
"""
