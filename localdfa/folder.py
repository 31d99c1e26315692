"""The folder of a run: who may write in it, how a new run takes its place there, and what killed processes have left.

    run.lock    held by the process that begins, replaces, resumes or trains the run, while it lives; it is never removed, so
                that it stays the same file whatever run lies there
    .new/       a run that is being written; of no meaning to anybody but the process that holds the lock
    .next/      the same once it is whole: from this moment on it is the run of this folder, and who holds the lock next moves
                its files up where the process that wrote it was killed
    .old/       the run that is being replaced, on its way out

Everything happens inside the folder and under its lock, so that the folder may be a mount point, may lie where nothing else can
be written, and may hold files that are not localdfa's, which stay.
"""

import errno
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from localdfa.errors import RunError, resuming
from localdfa.files import TEMPORARY, write_bytes

_LOCK, _NEW, _NEXT, _OLD = "run.lock", ".new", ".next", ".old"
# What a run is made of, beside its lock; its spec, by which it is known, is the first to go and the last to come.
OWN = (
    "spec.toml", "run.json", "models", "start.npz", "search.toml", "search.db", "search.db-journal", "best.toml",
    "summary.json", "certificate.json", "report.html", "figures", "tensorboard", "conditions",
)  # fmt: skip
# What of it is drawn from the rest, and may be drawn anew; and what is not.
_DRAWN = ("report.html", "figures")
_KEPT = (*(name for name in OWN if name not in _DRAWN), _LOCK, _NEW, _NEXT, _OLD)
# What of it is written only by the process that trains the run.
_OF_TRAINING = ("summary.json", "run.json", "spec.toml", "best.toml")
# What file systems say that know no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
# For so long, s, a process that would hold a run waits for one that only looks whether it is held.
_PATIENCE = 0.25
# A temporary file that may be another process's is left alone for so long, s.
_FORGOTTEN = 3600.0


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold a folder, in which no other process then begins, replaces, resumes or trains a run.

    What killed processes have left there is put in order first. The context says whether it is held: where files cannot be
    locked at all it is not, and goes on all the same.

    Raises
    ------
    RunError
        Another process holds it, or it cannot be written.
    """
    lock, alone = FileLock(folder / _LOCK), True
    try:
        lock.acquire(timeout=_PATIENCE, poll_interval=_PATIENCE / 10)
    except Timeout:
        raise RunError(f"{folder}: another process trains this run") from None
    except NotImplementedError:
        alone = False
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) not in _NO_LOCKS:
            raise RunError(f"{folder}: cannot be written: {error}") from None
        alone = False
    try:
        try:
            _put_in_order(folder, alone)
        except OSError as error:
            raise RunError(f"{folder}: cannot be put in order: {error}") from None
        yield alone
    finally:
        lock.release()


def is_held(folder: Path) -> bool | None:
    """Whether a process holds a folder; None if that cannot be told."""
    if not (folder / _LOCK).exists():
        return False
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return None
    lock.release()
    return False


def check_run(folder: Path, coming: bool = False) -> None:
    """Refuse a folder in which no run lies.

    coming: one that is just taking its place will do, for who holds the folder next puts that in order.

    Raises
    ------
    RunError
        There is none.
    """
    if (folder / "spec.toml").is_file() or (coming and (folder / _NEXT).is_dir()):
        return
    if (folder / _NEXT).is_dir():
        raise RunError(f"{folder}: the run here is being replaced; if by a process that was killed: {resuming(folder)}")
    raise RunError(f"{folder}: not a run directory: it has no spec.toml")


def owns(folder: Path, path: Path) -> bool:
    """Whether a path is that of a run, or of what belongs to it: gone once the run is replaced."""
    folder, path = folder.resolve(), path.resolve()
    return path == folder or (folder in path.parents and path.relative_to(folder).parts[0] in OWN)


def check_target(path: Path) -> None:
    """Refuse to write over what a run is made of, but the page and the figures that are drawn from it.

    Raises
    ------
    RunError
        The path is that of such a file, or lies in a folder of them.
    """
    try:
        there = path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise RunError(f"{path}: cannot be written: {error}") from None
    for folder in there.parents:
        is_run = (folder / "spec.toml").is_file() and (folder / "run.json").is_file()
        if is_run and there.relative_to(folder).parts[0] in _KEPT:
            raise RunError(
                f"{path}: is what the run in {folder} is made of; allowed: another place, in the folder of a run its "
                f"{' and '.join(_DRAWN)}, and names that it does not have"
            )


def take(folder: Path | None, name: str) -> Path:
    """Make the folder of a run, where it is not there; a new one of its own, runs/NAME-DATE-TIME, where none is given.

    Two starts within a second get one each: the second is called runs/NAME-DATE-TIME-2.

    Raises
    ------
    RunError
        It cannot be made.
    """
    stamp = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    places = (Path("runs") / (stamp if number == 1 else f"{stamp}-{number}") for number in count(1))
    for place in places if folder is None else (folder,):
        try:
            place.mkdir(parents=True, exist_ok=folder is not None)
            return place
        except FileExistsError:
            continue
        except (OSError, ValueError) as error:
            raise RunError(f"{place}: cannot be written: {error}") from None
    raise RunError(f"{folder}: cannot be written: it is a file")


def check(folder: Path, force: bool) -> None:
    """Refuse, before anything is made, a place in which a run cannot be begun.

    Raises
    ------
    RunError
        As `begin`; or it is held, or cannot be written.
    """
    try:
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if (folder / _LOCK).exists():
            with held(folder):
                pass
    except (OSError, ValueError) as error:
        raise RunError(f"{folder}: cannot be read: {error}") from None
    _refuse_taken(folder, force, alone=True)
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise RunError(f"{folder}: cannot be written: {there} is no folder that one can write in")


def begin(folder: Path, files: Mapping[str, bytes], *, force: bool, alone: bool) -> None:
    """Put a new run, its spec.toml, run.json and models, in its place; to be called by who holds the folder.

    The run that it replaces stays until the new one is written, and is then exchanged for it by renaming. A run of which no
    epoch is over is in nobody's way, unless another process may be at it: `alone`, that the folder is held, says that none is.

    Raises
    ------
    RunError
        Something lies there already; with `force` only another run is replaced.
    """
    _refuse_taken(folder, force, alone)
    for name, content in files.items():
        write_bytes(folder / _NEW / name, content)
    try:
        (folder / _NEW).rename(folder / _NEXT)
        _move_up(folder)
    except OSError as error:
        _move_back(folder)
        raise RunError(f"{folder}: the run there cannot be replaced: {error}") from None


def _refuse_taken(folder: Path, force: bool, alone: bool) -> None:
    try:
        there = folder.exists()
        names = {path.name for path in folder.iterdir() if not TEMPORARY.fullmatch(path.name)} if folder.is_dir() else set()
    except (OSError, ValueError) as error:
        raise RunError(f"{folder}: cannot be read: {error}") from None
    names -= {_LOCK, _NEW, _OLD}
    try:
        if not there or (folder.is_dir() and not names) or (alone and _untrained(folder, names)):
            return
    except OSError:  # what cannot be read is not replaced unasked
        pass
    if not force:
        raise RunError(
            f"{folder}: exists already; name another place, or add --force to replace that run, in Python force=True"
        )
    if _NEXT not in names and not ((folder / "spec.toml").is_file() and (folder / "run.json").is_file()):
        raise RunError(f"{folder}: not a run directory, so --force does not replace it")


def _untrained(folder: Path, names: set[str]) -> bool:
    """Whether all that lies in a folder is a run that was begun, and of which no epoch is over.

    To begin it anew loses nothing: to resume it would be to begin with the same epoch.
    """
    begun, further = {"spec.toml", "run.json"}, {"models", "start.npz", "search.toml", "search.db", "search.db-journal"}
    drawn = {*further, "summary.json", "report.html", "figures", "tensorboard"}
    if "conditions" not in names:
        return begun <= names <= {*begun, *further}
    rows = [path.read_bytes().count(b"\n") for path in (folder / "conditions").rglob("metrics.jsonl")]
    trained = max(rows, default=0) > 1 or any((folder / "conditions").rglob("weights*.npz"))
    return begun <= names <= {*begun, *drawn, "conditions"} and not trained


def _move_up(folder: Path) -> None:
    """Exchange the run in a folder for the next one. Cut off anywhere and called again, it goes on."""
    following, old = folder / _NEXT, folder / _OLD
    if (following / "run.json").exists():  # it goes up once the old run is out of the way
        _remove(old)
        old.mkdir()
        for name in OWN:
            if os.path.lexists(folder / name):
                (folder / name).rename(old / name)
    for name in ("run.json", "models", "start.npz", "search.toml", "spec.toml"):
        if (following / name).exists():
            (following / name).replace(folder / name)
    if following.exists():
        following.rmdir()
    _remove(old)


def _move_back(folder: Path) -> None:
    """Undo what `_move_up` could not finish, as far as it can be undone."""
    if (folder / _NEXT / "run.json").exists():
        for name in reversed(OWN):
            if os.path.lexists(folder / _OLD / name):
                (folder / _OLD / name).rename(folder / name)
        _remove(folder / _NEXT)


def _put_in_order(folder: Path, alone: bool) -> None:
    """Finish what a killed process had begun, and remove its temporary files, if no other process can be at it."""
    _move_up(folder)
    if not alone:
        return
    _remove(folder / _NEW)
    forgotten = time.time() - _FORGOTTEN
    for path in [*folder.iterdir(), *(folder / "conditions").rglob("*"), *(folder / "figures").glob("*")]:
        found = TEMPORARY.fullmatch(path.name)
        if not found or (path.parent == folder and found[1] not in OWN):
            continue
        ours = folder / "conditions" in path.parents or found[1] in _OF_TRAINING
        if ours or path.stat().st_mtime < forgotten:
            path.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
