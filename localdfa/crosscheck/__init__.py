"""Independent witnesses of the core, and the certificate that compares them.

`pytorch` computes every rule of rate networks once more, in tensor code that shares the spec, the initial weights and B
with the core, and no code of the rules. `certificate` brings both sides together and judges; `show` prints it. `brian` builds
spiking networks in Brian2.
"""
