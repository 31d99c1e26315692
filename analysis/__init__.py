"""Figures, one module each: from a run directory to a Matplotlib figure. No figure simulates anything.

A module of this folder that defines ``figure(run)`` and ``caption(run)`` is a figure, named like its file; nothing else
lists it. One that compares runs takes several, ``figure(*runs)``. ``TITLE`` is its heading on the page of a run, ``SECTION``
the part of the page that it stands in, one of `SECTIONS`. `style` says how figures look, `summary` aggregates over
seeds, `report` puts everything on one page, `gallery` shows every figure drawn of real runs.
"""

import importlib
import inspect
from types import ModuleType

from localdfa import registry
from localdfa.errors import SpecError

# The parts of the page of a run, in their order, with their headings.
SECTIONS = {
    "results": "Results", "learning": "Learning", "rule": "What the rule does", "activity": "Activity", "weights": "Weights",
}  # fmt: skip


def names() -> list[str]:
    """The figures there are, found without importing them."""
    return [name for name in registry.names("analysis") if registry.defines("analysis", name, "figure")]


def get(name: str) -> ModuleType:
    """The module of a figure: ``figure(run)`` draws it, ``caption(run)`` says what to see.

    Raises
    ------
    SpecError
        No such figure; the message lists those there are.
    """
    if name not in names():
        raise SpecError(f"figure {registry.unknown(name, names())}")
    return _module(name)


def joint(name: str) -> bool:
    """Whether a figure shows several runs together."""
    kinds = [parameter.kind for parameter in inspect.signature(get(name).figure).parameters.values()]
    return inspect.Parameter.VAR_POSITIONAL in kinds


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"localdfa.analysis.{name}")
