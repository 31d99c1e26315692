"""Learning rules, one file each: what changes a synapse, in the engines that the rule serves.

A rule is a class. ``engines`` names those that it serves, ``settled``, ``timed`` or ``spiking``, which ask it for what follows;
a setting that needs another engine is refused. ``own`` is its feedback pathway, and ``pathways`` are all that it works with,
none for any. ``needs_phases`` says whether a trial has nudged phases: a rule without them is one of the settled network,
whatever its neurons. ``Parameters``, a NamedTuple, are its parameters with their bounds and defaults, which the spec gives in
the table ``rules.NAME``.

``settled``: ``rule(network, phases, parameters)`` has the methods ``hidden(l, trial, signal, change)`` and ``output(trial,
error, change)``, which write the change Δz/β of one layer into ``change`` (m, n), one row a sample; weights then follow ΔW = η
Σ_samples Δz xᵀ. For the exact rules Δz is −δa.

``timed``: ``postsynaptic(neuron)``, a compiled function of parameters and membrane, is the activity z of which a synapse reads
the temporal derivative.

``spiking``: what a synapse does at an arrival, at a postsynaptic spike, and where the gate opens and closes. The rule is a
subclass of `_spiking.SpikingRule`, which says how.
"""
