"""Learning rules, one file each: the postsynaptic change that a synapse multiplies with its presynaptic activity.

Every rule yields, for each layer, the change Δz/β of its neurons, shape (m, n), one row a sample; the weights then follow
ΔW = η Σ_samples Δz xᵀ. For the exact rules Δz is −δa. A rule names its ``own`` feedback pathway and all ``pathways`` that it
works with, none for any; it has two methods: ``hidden(l, trial, signal, change)`` and ``output(trial, error, change)``,
which write the change of one layer into ``change``. ``needs_phases`` says whether the trial has nudged phases.
"""
