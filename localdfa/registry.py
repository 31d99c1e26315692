"""Models found by where they stand: one file in a package, one model, named like the file.

A file ``localdfa/neurons/tanh.py`` that sets ``model = Tanh`` makes the neuron ``tanh``; nothing else lists it.
`FAMILIES` are the kinds of models.
"""

import ast
import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from localdfa.errors import SpecError, quoted

# A name that is longer is like none.
_LONGEST = 100


class Family(NamedTuple):
    """Models of one kind.

    package: that holds their files. heading: of their list. dashed: whether `_` in the name of a file stands for `-` in that of
    the model. own: what a spec may name besides models, and what it is.
    """

    package: str
    heading: str
    dashed: bool = False
    own: tuple[tuple[str, str], ...] = ()


# All families, in the order of `localdfa list`.
FAMILIES = {
    "neurons": Family("localdfa.neurons", "neurons"),
    "feedback": Family("localdfa.feedback", "feedback pathways"),
    "rules": Family("localdfa.rules", "rules"),
    "optimisers": Family("localdfa.optimisers", "optimisers"),
    "inputs": Family("localdfa.inputs", "input codes"),
    "data": Family(
        "localdfa.data.sets", "data sets", dashed=True,
        own=(("npz:PATH", "your own: x_train, y_train, x_test, y_test in a numpy .npz file, time series, or spike trains"),),
    ),
    "recorders": Family("localdfa.recorders", "records"),
}  # fmt: skip
# Files of other packages are found in the same way, the figures' for instance.
_OTHERS = {"analysis": Family("localdfa.analysis", "figures")}


def _family(name: str) -> Family:
    return FAMILIES.get(name) or _OTHERS[name]


def names(family: str) -> list[str]:
    """The models of a family, without importing them."""
    path = importlib.import_module(_family(family).package).__path__
    return sorted(_name(family, module.name) for module in pkgutil.iter_modules(path) if not module.name.startswith("_"))


@cache
def get(family: str, name: str) -> Any:
    """The model of this name.

    Raises
    ------
    SpecError
        There is none; the message lists those there are and the nearest.
    """
    allowed = names(family)
    if name not in allowed:
        raise SpecError(unknown(name, allowed))
    return importlib.import_module(f"{_family(family).package}.{_file(family, name)}").model


def _name(family: str, file: str) -> str:
    """The name of the model that a file, without its ending, defines."""
    return file.replace("_", "-") if _family(family).dashed else file


def _file(family: str, name: str) -> str:
    """The file of a model, without its ending."""
    return name.replace("-", "_") if _family(family).dashed else name


def cast(parameters: Any, number: Any) -> Any:
    """The parameters of a model, each as this type of number: a kernel computes in the precision that it is given."""
    return parameters.__class__(*(number(value) for value in parameters))


def describe(family: str, name: str) -> str:
    """The first line of the documentation of a model's file, which is read without importing it."""
    text = ast.get_docstring(_source(family, name)) or ""
    return text.strip().split("\n", 1)[0].rstrip(".")


def described(family: str) -> dict[str, str]:
    """What a spec may name of a family, and what it is in a line."""
    return {**{name: describe(family, name) for name in names(family)}, **dict(_family(family).own)}


def defines(family: str, name: str, function: str) -> bool:
    """Whether the file of a model defines a function of this name, which is looked up without importing the file."""
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in _source(family, name).body)


@cache
def _source(family: str, name: str) -> ast.Module:
    within = importlib.import_module(_family(family).package).__path__
    path = next(path for folder in within if (path := Path(folder) / f"{_file(family, name)}.py").is_file())
    return ast.parse(path.read_text(encoding="utf-8"))


# What other programs and papers call it.
_SYNONYMS = {
    "sigmoid": "logistic", "identity": "linear", "iaf": "lif", "integrate_and_fire": "lif", "adaptive_lif": "alif",
    "lr": "learning_rate", "eta": "learning_rate", "backprop": "bp", "backpropagation": "bp", "feedback_alignment": "fa",
    "optimizer": "optimiser", "dataset": "data", "seed": "seeds", "layers": "hidden", "width": "hidden", "units": "hidden",
    "hidden_layers": "hidden", "bias": "weights", "batch": "batch_size", "minibatch": "batch_size", "activation": "neuron",
    "loss": "output", "dtype": "precision", "learning_rule": "rule", "rho": "decay", "alpha": "decay", "tau_mem": "tau_m",
    "tau": "tau_m", "threshold": "v_th", "refractory": "t_ref",
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
