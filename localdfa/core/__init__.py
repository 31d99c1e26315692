"""The compiled engine: the only loops over neurons, synapses and events."""
