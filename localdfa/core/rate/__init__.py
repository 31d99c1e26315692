"""The compiled engine of rate neurons: what a mini-batch does in a network that settles at once, or that takes time.

`settled` has the phases of neurons with τ = 0, `timed` those of neurons with τ > 0. `projections` and `convolution` are what
passes through synapses, `activation` what neurons make of their drive, `updates` and `plasticity` how weights change.

In all of them arrays have one row a sample. Weights have one row a presynaptic neuron, (n_pre + 1, n_post), so that the
synapses that one event reaches lie side by side. The last row holds the biases, the synapses from a neuron whose activity is 1.
Work is shared out in blocks whose number does not depend on the number of threads, and each entry is summed in a fixed order,
so any number of threads gives the same bits.
"""
