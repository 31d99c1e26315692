"""Models found by where they stand: one file in a package, one model, named like the file.

A file ``localdfa/neurons/tanh.py`` that sets ``model = Tanh`` makes the neuron ``tanh``; nothing else lists it.
"""

import ast
import difflib
import importlib
import pkgutil
from functools import cache
from pathlib import Path
from typing import Any

from localdfa.errors import SpecError


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


def unknown(name: str, allowed: list[str]) -> str:
    """The message for a name that is not among those allowed, with the nearest one."""
    near = difflib.get_close_matches(str(name), allowed, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{name!r} is not one of {', '.join(allowed)}{hint}"
