"""Published files: where they are kept, how they are downloaded, and that nothing unverified is taken from them."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localdfa.errors import DataError

if TYPE_CHECKING:
    from rich.progress import Progress

_LARGEST = 256 * 2**20  # bytes; the largest published file here has 169 MB
_CHUNK = 2**16  # bytes between two updates of the progress bar
_TIMEOUT = 30  # seconds without an answer


@dataclass(frozen=True)
class Remote:
    """A published file: its path under the cache folder, its address, its MD5: None of an archive whose files have theirs."""

    file: str
    url: str
    md5: str | None


def folder() -> Path:
    """The folder for downloaded data: $LOCALDFA_DATA, or else the user's cache, ~/.cache/localdfa on Linux."""
    if chosen := os.environ.get("LOCALDFA_DATA"):
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("localdfa"))


def read(remote: Remote) -> bytes:
    """Return the verified content of a published file, which is downloaded if it is not there yet."""
    path = folder() / remote.file
    if not os.path.exists(path):  # unlike Path.exists, False also where the folder is forbidden
        _download(remote, path)
    return read_verified(path, remote.md5)


def fetch(remote: Remote) -> Path:
    """Return the path of a published file, verified, which is downloaded if it is not there yet."""
    read(remote)
    return folder() / remote.file


def read_verified(path: Path, md5: str | None) -> bytes:
    """Return the content of a file; raise `DataError` if it is unreadable, oversized or has another MD5 than this, if any."""
    try:
        check_size(path.stat().st_size, str(path))
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if md5 is not None:
        verify(content, md5, str(path))
    return content


def check_size(size: int, name: str) -> None:
    """Raise `DataError` for a size in bytes that no published file has, before anything is read."""
    if size > _LARGEST:
        raise DataError(f"{name} has {size} bytes, more than any published file: delete it and try again")


def verify(content: bytes, md5: str, name: str) -> None:
    """Raise `DataError` for content that has another MD5."""
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(
            f"{name} is damaged or not the published file: expected MD5 {md5}, found {found}; "
            "delete it and try again, it will then be fetched anew"
        )


def _download(remote: Remote, path: Path) -> None:
    """Download to `path` with a progress bar; the file appears there only once its checksum is right."""
    import pooch
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            downloader = pooch.HTTPDownloader(progressbar=_Bar(progress, path.name), chunk_size=_CHUNK, timeout=_TIMEOUT)
            known = None if remote.md5 is None else f"md5:{remote.md5}"
            pooch.retrieve(remote.url, known, fname=path.name, path=path.parent, downloader=downloader)
    except (OSError, ValueError) as error:  # every network error of requests is an OSError
        raise DataError(
            f"{path.name} could not be downloaded from {remote.url} ({_one_line(error)}). Without a network, put the "
            f"file {path.name}{f' (MD5 {remote.md5})' if remote.md5 else ''} into the folder {path.parent}"
        ) from error


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


class _Bar:
    """The progress bar that Pooch expects, drawn by rich."""

    def __init__(self, progress: "Progress", description: str) -> None:
        self._progress = progress
        self._task = progress.add_task(description, total=None)

    @property
    def total(self) -> float | None:
        """Size of the download in bytes, None or 0 where the server does not tell."""
        return self._progress.tasks[0].total

    @total.setter
    def total(self, size: int) -> None:
        self._progress.update(self._task, total=size or None)

    def update(self, count: int) -> None:
        """Advance by `count` bytes."""
        self._progress.advance(self._task, count)

    def reset(self) -> None:
        """Go back to the start: Pooch does so before its last update."""
        self._progress.reset(self._task)

    def close(self) -> None:
        """Stop drawing."""
        self._progress.stop()
