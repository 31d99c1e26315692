"""localdfa: networks that learn by a local form of direct feedback alignment.

import localdfa

experiment = localdfa.experiment(data="digits", network={"hidden": [128, 128]}, stage=[{"epochs": 20}])
run = localdfa.run(experiment, "runs/mine")  # or the name of a bundled experiment, or a .toml file
print(run.summary)
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localdfa.circuit import Circuit
    from localdfa.loops import Log
    from localdfa.results import Run as open_run
    from localdfa.spec import experiment
    from localdfa.spec.search import Search
    from localdfa.train import resume, run

__version__ = "0.1.0"

# Imported when first asked for, as modules are, so that the command line answers before Numba is loaded.
_PUBLIC = {
    "Circuit": ("localdfa.circuit", "Circuit"),
    "Log": ("localdfa.loops", "Log"),
    "Search": ("localdfa.spec.search", "Search"),
    "experiment": ("localdfa.spec", "experiment"),
    "run": ("localdfa.train", "run"),
    "resume": ("localdfa.train", "resume"),
    "open_run": ("localdfa.results", "Run"),
}
__all__ = ["Circuit", "Log", "Search", "__version__", "experiment", "open_run", "resume", "run"]


def __dir__() -> list[str]:
    return [*__all__]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        if not name.startswith("_") and find_spec(f"localdfa.{name}"):
            return import_module(f"localdfa.{name}")
        raise AttributeError(f"module 'localdfa' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    return getattr(import_module(module), attribute)
