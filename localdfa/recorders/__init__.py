"""Recorders, one file each: what a run keeps of its networks besides the metrics.

A recorder is a subclass of `_recorder.Recorder`, which says what one has to define. Its file is named like what is kept: the
file ``spikes.py`` brings the key ``record.spikes`` to the spec, a run keeps ``spikes.npz`` of each condition and seed, and
`localdfa.record.Job` has them as its attribute ``spikes``. Such a file holds the arrays that the recorder returns, says what
it holds and carries a checksum (`localdfa.arrays`).
"""
