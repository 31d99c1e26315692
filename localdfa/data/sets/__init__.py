"""Data sets, one file each: what its authors have published, or what is made here.

The first line of a file's documentation describes the set in a line, with the size of a download. Its `model` is a function
without arguments that returns a `localdfa.data.dataset.Source`; what is downloaded is read through `localdfa.data.cache`. `_`
in the name of a file stands for `-` in that of the data set.
"""
