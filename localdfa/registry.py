"""Models found by where they stand: one file in a package, one model, named like the file.

A file ``localdfa/neurons/tanh.py`` that sets ``model = Tanh`` makes the neuron ``tanh``; nothing else lists it.
"""

import ast
import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from localdfa.errors import SpecError, quoted

# A name that is longer is like none.
_LONGEST = 100


def names(package: str) -> list[str]:
    """The models of one package (``neurons``, ``feedback``, ``rules``, ``optimisers``), without importing them."""
    path = importlib.import_module(f"localdfa.{package}").__path__
    return sorted(module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_"))


@cache
def get(package: str, name: str) -> Any:
    """The model that the file ``name`` of a package defines.

    Raises
    ------
    SpecError
        No such file; the message lists those there are and the nearest.
    """
    allowed = names(package)
    if name not in allowed:
        raise SpecError(unknown(name, allowed))
    return importlib.import_module(f"localdfa.{package}.{name}").model


def cast(parameters: Any, number: Any) -> Any:
    """The parameters of a model, each as this type of number: a kernel computes in the precision that it is given."""
    return parameters.__class__(*(number(value) for value in parameters))


def describe(package: str, name: str) -> str:
    """The first line of the file's documentation, which is read without importing the file."""
    text = ast.get_docstring(_source(package, name)) or ""
    return text.strip().splitlines()[0].rstrip(".")


def defines(package: str, name: str, function: str) -> bool:
    """Whether a file of a package defines a function of this name, which is looked up without importing the file."""
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in _source(package, name).body)


@cache
def _source(package: str, name: str) -> ast.Module:
    within = importlib.import_module(f"localdfa.{package}").__path__
    path = next(path for folder in within if (path := Path(folder) / f"{name}.py").is_file())
    return ast.parse(path.read_text(encoding="utf-8"))


# What other programs and papers call it.
_SYNONYMS = {
    "sigmoid": "logistic", "identity": "linear", "iaf": "lif", "integrate_and_fire": "lif", "adaptive_lif": "alif",
    "lr": "learning_rate", "eta": "learning_rate", "backprop": "bp", "backpropagation": "bp", "feedback_alignment": "fa",
    "optimizer": "optimiser", "dataset": "data", "seed": "seeds", "layers": "hidden", "width": "hidden", "units": "hidden",
    "hidden_layers": "hidden", "bias": "weights", "batch": "batch_size", "minibatch": "batch_size", "activation": "neuron",
    "loss": "output", "dtype": "precision", "learning_rule": "rule", "rho": "decay", "alpha": "decay", "tau_mem": "tau_m",
    "tau": "tau_m", "threshold": "v_th", "refractory": "t_ref", "spiking": "lif", "snn": "lif",
}  # fmt: skip


def synonym(name: str) -> str | None:
    """What localdfa calls what others call `name`."""
    return _SYNONYMS.get(_folded(name))


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name that was most likely meant: the same but for case, a synonym, or one spelled much alike."""
    plain = {entry.lower(): entry for entry in allowed}
    for meant in (_folded(name), synonym(name)):
        if meant in plain:
            return plain[meant]
    near = difflib.get_close_matches(_folded(name), plain, n=1)
    return plain[near[0]] if near else None


def _folded(name: str) -> str:
    return name[:_LONGEST].lower().replace("-", "_").replace(" ", "_")


def unknown(name: Any, allowed: list[str]) -> str:
    """The message for a name that is not among those allowed, with the nearest one."""
    near = nearest(name, allowed) if isinstance(name, str) else None
    hint = f"; did you mean {near!r}?" if near else ""
    return f"{quoted(name)} is not one of {', '.join(allowed)}{hint}"
