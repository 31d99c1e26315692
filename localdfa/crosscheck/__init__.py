"""Independent witnesses of the core, and the certificate that compares them.

`pytorch` computes every rule of rate networks once more, in tensor code that shares the spec, the initial weights and B
with the core, and no code of the rules; `certificate` brings both sides together and judges. `brian` builds spiking networks in
Brian2; `clock` compares the engine with it, `noise` the update of a spiking network with exact DFA and with theory, and
`spiking` judges. `exact` simulates any circuit of spiking neurons slowly and obviously, with noise that `counters` draws;
`circuits` compares random circuits with it, and with `brian_circuits`. `subject` says what is certified, `show` prints and
writes a certificate.
"""
