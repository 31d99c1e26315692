"""What to simulate: the experiment as a validated, typed description, from TOML or from Python.

An experiment names its data, its seeds and the conditions to compare. A *setting* is all that one condition needs: the
tables of the experiment with that condition's changes laid over them. Everything is checked before anything runs; what is
wrong is said in one message that names the key, the value, what is allowed and the nearest valid name.

`tables` has the keys with their types, bounds and meanings, `defaults` what follows others where it is left out, and `derived`
what follows from several keys. What one key cannot show is refused in `models` (names and parameters), `checks` and, of trials
in time, `trials`, of random matrices, `matrices`; in `records` what cannot be recorded, and in `unread` what no rule reads.
`load` puts all of it together, and `messages` says it.
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
    with_absolute_paths,
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
    "with_absolute_paths",
]
