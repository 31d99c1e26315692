"""What to simulate: the experiment as a validated, typed description, from TOML or from Python.

An experiment names its data, its seeds and the conditions to compare. A *setting* is all that one condition needs: the
tables of the experiment with that condition's changes laid over them. Everything is checked before anything runs; what is
wrong is said in one message that names the key, the value, what is allowed and the nearest valid name.
"""

from localdfa.spec.load import (
    asked,
    beside,
    bundled,
    circuit_title,
    circuits,
    differing,
    experiment,
    find,
    load,
    settings,
    table,
    take_in_models,
    title,
    untaken,
    uses,
)
from localdfa.spec.tables import Augment, Convolution, Experiment, Record, Setting

__all__ = [
    "Augment",
    "Convolution",
    "Experiment",
    "Record",
    "Setting",
    "asked",
    "beside",
    "bundled",
    "circuit_title",
    "circuits",
    "differing",
    "experiment",
    "find",
    "load",
    "settings",
    "table",
    "take_in_models",
    "title",
    "untaken",
    "uses",
]
