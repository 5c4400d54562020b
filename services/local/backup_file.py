"""A backup: one file that holds databases, and beside them what keys are hashed with."""

import hashlib
import io
import json
import os
import sqlite3
import tarfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from shutil import copyfileobj
from typing import IO

from services import __version__

_LIST = "backup.json"
# How long a service that checkpoints may hold it up.
_SECONDS = 30


class BackupRefused(Exception):
    """The sentence says why, and what to do instead."""


def snapshot(database: Path, into: Path) -> None:
    """The database as it is at one moment, while others read and write it.

    What was erased is not in the snapshot, not even where bytes of it are still in the database's
    file: SQLite writes only what the database holds. Its other way, page by page, would take them.
    """
    url = f"{database.resolve().as_uri()}?mode=rw"
    try:
        with closing(sqlite3.connect(url, uri=True, timeout=_SECONDS)) as connection:
            connection.execute("VACUUM INTO ?", (str(into),))
    except sqlite3.DatabaseError as error:
        raise BackupRefused(f"{database}: {error}") from None
    check(into)


def check(database: Path) -> None:
    """Raises `BackupRefused` for a file that SQLite finds broken."""
    try:
        with closing(sqlite3.connect(database)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(1)")]
    except sqlite3.DatabaseError as error:
        found = [str(error)]
    if found != ["ok"]:
        raise BackupRefused(f"{database.name} is broken: {found[0]}")


def write_backup(backup: Path, files: Mapping[str, Path]) -> None:
    """All or nothing; only its owner may read it."""
    listed = {name: _sha256(path) for name, path in files.items()}
    told = json.dumps({"release": __version__, "files": listed}).encode()
    aside = backup.with_name(f"{backup.name}.part")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as writing:
        with tarfile.open(fileobj=writing, mode="w") as archive:
            entry = tarfile.TarInfo(_LIST)
            entry.size = len(told)
            archive.addfile(entry, io.BytesIO(told))
            for name, path in files.items():
                archive.add(path, name)
        writing.flush()
        os.fsync(writing.fileno())
    aside.replace(backup)


def read_backup(backup: Path, into: Path) -> Mapping[str, Path]:
    """The files, by name, written into a folder. Raises `BackupRefused` unless all are whole."""
    try:
        with tarfile.open(backup) as archive:
            listed: dict[str, str] = json.loads(_in(archive, _LIST).read())["files"]
            found = {name: into / Path(name).name for name in listed}
            for name, path in found.items():
                with path.open("wb") as writing:
                    copyfileobj(_in(archive, name), writing)
    except FileNotFoundError:
        raise BackupRefused(f"there is no file {backup}") from None
    except (tarfile.TarError, ValueError, KeyError, TypeError, EOFError):
        raise BackupRefused(f"{backup} is no backup, or not all of one") from None
    for name, path in found.items():
        if _sha256(path) != listed[name]:
            raise BackupRefused(f"{backup}: {name} is not as it was written")
    return found


def _in(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    """Raises KeyError."""
    content = archive.extractfile(name)
    if content is None:
        raise KeyError(name)
    return content


def _sha256(path: Path) -> str:
    with path.open("rb") as reading:
        return hashlib.file_digest(reading, "sha256").hexdigest()
