"""Archives in which data sets are published: chosen files are taken out of them, and verified."""

import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from localdfa.data import cache
from localdfa.errors import DataError


def unpack_missing(archive: cache.Remote, files: Mapping[str, str]) -> None:
    """Unpack the files that are not in the cache; the archive is downloaded where needed, and kept.

    files: MD5 of each, by its path in the archive and under the cache folder.
    """
    missing = {file: md5 for file, md5 in files.items() if not os.path.exists(cache.folder() / file)}
    if not missing:
        return
    path = cache.fetch(archive)
    try:
        unpack(path, missing, cache.folder())
    except DataError as error:
        if archive.md5 is None:  # it was not verified as a whole
            raise DataError(f"{error}; delete {path} and try again, it will then be fetched anew") from None
        raise


def unpack(archive: Path, files: Mapping[str, str], folder: Path) -> None:
    """Unpack chosen files, and nothing else, from an archive.

    A file appears, all at once, only when its checksum is right. Nothing else of the archive counts: neither its
    paths nor its links, owners or permissions.

    Parameters
    ----------
    archive : Path
        A .zip, or else a gzipped tar.
    files : mapping of str to str
        MD5 of each file, by its path in the archive and under `folder`.
    folder : Path
        Where to put them.

    Raises
    ------
    DataError
        The archive is damaged, lacks one of the files or holds another one by its name, or the disk refuses.
    """
    missing = dict(files)
    try:
        for file, content in _members(archive, files):
            cache.verify(content, missing.pop(file), f"{archive}: {file}")
            _write(folder / file, content)
    except (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{archive} cannot be unpacked into {folder}: {error}") from error
    if missing:
        raise DataError(f"{archive} does not hold {', '.join(missing)}")


def _members(archive: Path, files: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each of the wanted files, once, in some order."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as zipped:
            for name in [name for name in files if name in zipped.namelist()]:
                cache.check_size(zipped.getinfo(name).file_size, f"{archive}: {name}")
                yield name, zipped.read(name)
        return
    seen = set()
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            if member.name in files and member.name not in seen and member.isfile():
                seen.add(member.name)
                cache.check_size(member.size, f"{archive}: {member.name}")
                stream = tar.extractfile(member)
                assert stream is not None  # a regular file has one
                yield member.name, stream.read()


def _write(path: Path, content: bytes) -> None:
    """Write a file in one step: another process sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
