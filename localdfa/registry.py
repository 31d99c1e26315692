"""Models found by where they stand: one file in a package, one model, named like the file.

A file ``localdfa/neurons/tanh.py`` that sets ``model = Tanh`` makes the neuron ``tanh``; nothing else lists it.
`FAMILIES` are the kinds of models.

Models may also live outside: in an installed package, whose entry point of the group ``localdfa.neurons`` (and so on, by
family) has the model's name and names a module that sets ``model``; or in a Python file that a spec names in its table
`models`. They stand beside localdfa's own, and take the place of none.
"""

import ast
import difflib
import hashlib
import importlib.machinery
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from localdfa.errors import SpecError, clipped, quoted

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
    "outputs": Family("localdfa.outputs", "outputs"),
    "feedback": Family("localdfa.feedback", "feedback pathways"),
    "rules": Family("localdfa.rules", "rules"),
    "optimisers": Family("localdfa.optimisers", "optimisers"),
    "inputs": Family("localdfa.inputs", "input codes"),
    "data": Family(
        "localdfa.data.sets", "data sets", dashed=True,
        own=(
            ("npz:PATH", "your own: x_train, y_train, x_test, y_test in a numpy .npz file, time series, or spike trains"),
            ("arrays", "your own, given by a script: localdfa.run(..., data=(x, y))"),
        ),
    ),
    "recorders": Family("localdfa.recorders", "records"),
    "modules": Family("localdfa.modules", "modules (PyTorch)"),
}  # fmt: skip
# What is said where it is not installed.
PYTORCH = "needs PyTorch: pip install 'localdfa[torch]'"
# Files of other packages are found in the same way, the figures' for instance.
_OTHERS = {"analysis": Family("localdfa.analysis", "figures")}


class _Model(NamedTuple):
    """A model that there is.

    module: that sets it. place: where it comes from, for messages. origin: the same as run.json has it, of a package its name
    and version, of a file its path and SHA-256; nothing where it is of localdfa itself.
    """

    module: str
    place: str
    origin: dict[str, str]


class ModelFile(NamedTuple):
    """A file of the user's own that was taken in: where it lay, and what it held."""

    path: Path
    content: bytes

    @property
    def sha256(self) -> str:
        """Of its content."""
        return hashlib.sha256(self.content).hexdigest()


# The files that this process has taken in, by family and name of the model. A name stands for one content as long as it lives.
_files: dict[tuple[str, str], ModelFile] = {}


def _family(name: str) -> Family:
    return FAMILIES.get(name) or _OTHERS[name]


def inside(family: str) -> list[str]:
    """The models of a family that are localdfa's own, without importing them."""
    return list(_named_in(family, tuple(importlib.import_module(_family(family).package).__path__)))


@cache
def _named_in(family: str, path: tuple[str, ...]) -> tuple[str, ...]:
    """The models in these folders, which are looked for once, as every setting of a spec asks for them many times."""
    files = [module.name for module in pkgutil.iter_modules(path) if not module.name.startswith("_")]
    return tuple(sorted(name_of(family, Path(file)) for file in files))


def names(family: str) -> list[str]:
    """The models of a family: localdfa's own, those of installed packages, and of files; without importing them."""
    taken = [name for of, name in _files if of == family]
    return sorted({*inside(family), *(point.name for point in _entry_points(family)), *taken})


def having(family: str, holds: Callable[[Any], bool]) -> list[str]:
    """The names of the models of a family of which something holds, as messages list what is allowed; all are imported."""
    return [name for name in names(family) if holds(get(family, name))]


@cache
def get(family: str, name: str) -> Any:
    """The model of this name.

    Raises
    ------
    SpecError
        There is none; the message lists those there are and the nearest. Or two packages have one of this name; or its module
        cannot be imported, or sets no model, or one that lacks what its family asks for; or it needs PyTorch, which is
        not installed.
    """
    entry = _find(family, name)
    try:
        model = importlib.import_module(entry.module).model
    except Exception as error:
        if entry.origin:
            raise SpecError(f"{name!r} of {entry.place} cannot be used: {type(error).__name__}: {error}") from error
        if isinstance(error, ModuleNotFoundError) and error.name == "torch":
            raise SpecError(f"{name!r} of {entry.place}: {PYTORCH}") from None
        raise
    if reasons := wrong(family, model):
        raise SpecError(f"{name!r} of {entry.place} cannot be used among the {_family(family).heading}: {'; '.join(reasons)}")
    return model


def wrong(family: str, model: Any) -> list[str]:
    """What of a model is not as its family asks, one entry each: hooks that are missing, names that nobody asks for."""
    return importlib.import_module(_family(family).package).wrong(model) if family in FAMILIES else []


def origin(family: str, name: str) -> dict[str, str]:
    """Where a model comes from: ``package`` and ``version``, or ``file`` and ``sha256``; nothing if from localdfa itself.

    Raises
    ------
    SpecError
        As `get`, but for what importing it would show.
    """
    return _find(family, name).origin


def add(family: str, path: Path) -> None:
    """Take in the model of a Python file of the user's own, named like the file; the file is executed.

    Raises
    ------
    SpecError
        It cannot be read or executed, sets no model, or its name is taken: by a model of localdfa or of an installed package,
        or by a file with other content, for a name stands for one model as long as a process lives.
    """
    file = read(path)
    name = name_of(family, path)
    if not path.stem.isidentifier() or path.stem.startswith("_"):
        raise SpecError(f"{path}: its name is that of a model; allowed: letters, digits and _, not at its beginning")
    if is_there(family, file):
        return
    for taken in _found(family, name):
        there = "as it was when this process took it in" if taken.origin.get("file") == str(path) else taken.place
        raise SpecError(
            f"{path}: the name {name!r} stands for another model already, {there}; "
            + ("begin a new process" if "file" in taken.origin else "rename the file")
        )
    module = _module_of(family, name)
    spec = importlib.util.spec_from_loader(module, _Loader(module, file))
    assert spec is not None
    loaded = sys.modules[module] = importlib.util.module_from_spec(spec)
    try:
        _Loader(module, file).exec_module(loaded)
        if not hasattr(loaded, "model"):
            raise SpecError(f"{path}: it sets no `model`")
    except (Exception, SystemExit) as error:
        del sys.modules[module]
        if isinstance(error, SpecError):
            raise
        lines = [at.lineno for at in traceback.extract_tb(error.__traceback__) if at.filename == str(path)]
        where = f", line {lines[-1]}" if lines else ""
        raise SpecError(f"{path}{where}: {type(error).__name__}: {error}") from error
    _files[family, name] = file


def read(path: Path) -> ModelFile:
    """A Python file, which is not executed.

    Raises
    ------
    SpecError
        There is none.
    """
    try:
        if path.suffix == ".py" and path.is_file():
            return ModelFile(path, path.read_bytes())
    except (OSError, ValueError) as error:
        raise SpecError(f"{clipped(str(path))}: {getattr(error, 'strerror', None) or error}") from None
    raise SpecError(f"{clipped(str(path))}: there is no such Python file")


def is_there(family: str, file: ModelFile) -> bool:
    """Whether this process has executed a file of this name and content, wherever it lay."""
    taken = _files.get((family, name_of(family, file.path)))
    return taken is not None and taken.content == file.content


def file_of(family: str, path: Path) -> ModelFile:
    """The file that `add` has taken in for this one."""
    return _files[family, name_of(family, path)]


def name_of(family: str, path: Path) -> str:
    """The name of the model that a file defines."""
    return path.stem.replace("_", "-") if _family(family).dashed else path.stem


class _Loader(importlib.machinery.SourceFileLoader):
    """Executes what was read, and leaves no compiled file beside it."""

    def __init__(self, module: str, file: ModelFile) -> None:
        super().__init__(module, str(file.path))
        self._content = file.content

    def get_data(self, path: str) -> bytes:
        return self._content

    def path_stats(self, path: str) -> Any:
        raise OSError  # so that a compiled file is neither read nor written


def _entry_points(family: str) -> list[metadata.EntryPoint]:
    """The models that installed packages bring: entry points of the group ``localdfa.FAMILY``."""
    return [point for point in _all_entry_points() if point.group == f"localdfa.{family}" and family in FAMILIES]


@cache
def _all_entry_points() -> list[metadata.EntryPoint]:
    """Those of all groups of localdfa. It takes as long to look for those of one, as every installed package is read."""
    points = metadata.entry_points()
    return [point for group in points.groups if group.startswith("localdfa.") for point in points.select(group=group)]


def _found(family: str, name: str) -> list[_Model]:
    """All models of this name."""
    entries = []
    if name in inside(family):
        module = f"{_family(family).package}.{_file(family, name)}"
        entries.append(_Model(module, f"{module.replace('.', '/')}.py", {}))
    for point in _entry_points(family):
        if point.name == name:
            package, version = (point.dist.name, point.dist.version) if point.dist else ("?", "?")
            entries.append(
                _Model(point.value, f"{point.value} of {package} {version}", {"package": package, "version": version})
            )
    if file := _files.get((family, name)):
        entries.append(_Model(_module_of(family, name), str(file.path), {"file": str(file.path), "sha256": file.sha256}))
    return entries


def _find(family: str, name: str) -> _Model:
    """The only model of this name."""
    entries = _found(family, name)
    if not entries:
        raise SpecError(unknown(name, names(family)))
    if len(entries) > 1:
        places = " and ".join(each.place for each in entries)
        raise SpecError(f"{name!r} is the name of more than one model of localdfa.{family}: {places}; one has to go")
    return entries[0]


def _module_of(family: str, name: str) -> str:
    """The module that a file becomes: the same in every process, for compiled kernels are kept under it."""
    return f"localdfa_{family}_{_file(family, name)}"


def _file(family: str, name: str) -> str:
    """The file of a model, without its ending."""
    return name.replace("-", "_") if _family(family).dashed else name


# The parameters of a model: a NamedTuple.
_Parameters = TypeVar("_Parameters", bound=tuple)


def cast(parameters: _Parameters, number: Callable[[Any], Any]) -> _Parameters:
    """The parameters of a model, each as this type of number: a kernel computes in the precision that it is given."""
    return parameters.__class__(*(number(value) for value in parameters))


def describe(family: str, name: str) -> str:
    """The first line of the documentation of a model's file, which is read without importing it."""
    text = ast.get_docstring(_source(family, name)) or ""
    return text.strip().split("\n", 1)[0].rstrip(".")


def described(family: str) -> dict[str, str]:
    """What a spec may name of a family, and what it is in a line."""
    lines = {}
    for name in names(family):
        of = origin(family, name)
        lines[name] = describe(family, name) + (f" ({of['package']} {of['version']})" if "package" in of else "")
    return {**lines, **dict(_family(family).own)}


def defines(family: str, name: str, function: str) -> bool:
    """Whether the file of a model defines a function of this name, which is looked up without importing the file."""
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in _source(family, name).body)


@cache
def _source(family: str, name: str) -> ast.Module:
    if file := _files.get((family, name)):
        return ast.parse(file.content)
    entry = _find(family, name)
    package, _, module = entry.module.rpartition(".")
    # Of a package from outside nothing is imported, not even what surrounds the module.
    within = _locations(package) if entry.origin else importlib.import_module(package).__path__
    spec = importlib.machinery.PathFinder.find_spec(entry.module, within) if package else importlib.util.find_spec(module)
    path = Path(spec.origin) if spec and spec.origin else None
    return ast.parse(path.read_bytes() if path and path.suffix == ".py" else b"")


def _locations(package: str) -> list[str]:
    """The folders of a package, which is not imported."""
    outer, _, _ = package.rpartition(".")
    spec = importlib.machinery.PathFinder.find_spec(package, _locations(outer)) if outer else importlib.util.find_spec(package)
    return list((spec and spec.submodule_search_locations) or [])


# What other programs and papers call it.
_SYNONYMS = {
    "sigmoid": "logistic", "identity": "linear", "iaf": "lif", "integrate_and_fire": "lif", "adaptive_lif": "alif",
    "lr": "learning_rate", "eta": "learning_rate", "backprop": "bp", "backpropagation": "bp", "feedback_alignment": "fa",
    "optimizer": "optimiser", "dataset": "data", "seed": "seeds", "layers": "hidden", "width": "hidden", "units": "hidden",
    "hidden_layers": "hidden", "bias": "weights", "batch": "batch_size", "minibatch": "batch_size", "activation": "neuron",
    "loss": "output", "dtype": "precision", "learning_rule": "rule", "rho": "decay", "alpha": "decay", "tau_mem": "tau_m",
    "mse": "linear", "squared_error": "linear", "regression": "linear", "tau": "tau_m", "threshold": "v_th",
    "refractory": "t_ref", "spiking": "lif", "snn": "lif",
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
