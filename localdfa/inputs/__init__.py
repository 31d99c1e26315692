"""How inputs reach spiking neurons, one file a code.

A code says how many input neurons a sample makes, `n_in`, from its shape; `frames`, into how many constant pieces in time it
falls; and, where input neurons spike, `trains`: when.
"""
