"""What is trained and simulated here, in the forms of other programs: one file for each format.

``to`` of `export` and of ``localdfa export`` is the name of a file of this package. Its ``ENDING`` is what the name of a file
ends in; it has ``of_run(run, job, setting, path, given)``, for one condition and seed of a run, or ``of_circuit(circuit,
path)``, or both. Each returns the files that it has written. What a format cannot say is refused, with its key.
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType

from localdfa import folder, record, registry, trained
from localdfa.circuit import Circuit
from localdfa.data import Source
from localdfa.errors import SpecError
from localdfa.files import path_of

FORMATS = sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))


def format_of(to: str) -> ModuleType:
    """The module of a format.

    Raises
    ------
    SpecError
        There is none of this name.
    """
    if to not in FORMATS:
        raise SpecError(f"to: {registry.unknown(to, FORMATS)}")
    return import_module(f"localdfa.interchange.{to}")


def export(
    what: record.Run | Circuit, to: str, path: str | Path | None = None, condition: str | None = None, seed: int | None = None,
    given: Source | None = None,
) -> list[Path]:  # fmt: skip
    """Write a run, one condition and seed of it, or a circuit for another program.

    Parameters
    ----------
    what : Run or Circuit
    to : str
        The format, one of `FORMATS`.
    path : str or Path, optional
        The file; by default in the working directory, named after the run and condition, or ``circuit``.
    condition, seed : str, int, optional
        Of a run; which condition can be left out where there is one, and of seeds the first is taken.
    given : Source, optional
        The arrays that a run of a module has learned from.

    Returns
    -------
    list of Path
        The files, the one that is opened first.

    Raises
    ------
    SpecError
        There is no such format; it is not for runs, or not for circuits; or it cannot say what the network has.
    RunError
        The run is not finished, or does not keep what is written; or the file cannot be written.
    LocalDFAError
        The library of the format is not installed; the message names the extra.
    """
    written, circuit = format_of(to), isinstance(what, Circuit)
    hook = "of_circuit" if circuit else "of_run"
    if not hasattr(written, hook):
        others = ", ".join(name for name in FORMATS if hasattr(format_of(name), hook))
        raise SpecError(f"to: {to!r} is no format for {'circuits' if circuit else 'runs'}; allowed for them: {others}")
    if isinstance(what, Circuit):
        if condition is not None or seed is not None:
            raise SpecError("condition, seed: are those of runs; allowed with a circuit: leave them out")
        found: list[Path] = written.of_circuit(what, _place(path, f"circuit{written.ENDING}"))
        return found
    job, setting = trained.chosen(what, condition, seed)
    name = f"{what.info['name']}-{job.condition}-{job.seed}{written.ENDING}"
    found = written.of_run(what, job, setting, _place(path, name), given)
    return found


def _place(path: str | Path | None, name: str) -> Path:
    """Where a file is to go, and its arrays, which lie beside some; a name in the working directory if that is not said."""
    place = Path(name) if path is None else path_of("path", path)
    for each in (place, place.with_suffix(".npz")) if place.name else (place,):
        folder.check_target(each)
    return place
