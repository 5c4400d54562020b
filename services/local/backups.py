"""`chatmesh backup` and `restore`: the SQLite files of a mesh, while it serves and after."""

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import copyfile

import click

from services.local.backup_file import (
    BackupRefused,
    check,
    read_backup,
    snapshot,
    write_backup,
)
from services.local.kept import STORES, in_a_sentence, path_of, pepper_file, url_of
from services.local.run_file import RunFile
from services.shared.sqlite import SCHEME
from services.shared.store_url import StoreUrl

_PEPPER = "pepper"
# Beside a database, while it is used.
_BESIDE = ("-wal", "-shm")
_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
_data = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where `up` keeps everything; else what each service's environment says, or .chatmesh.",
)
_only = click.option(
    "--only",
    type=click.Choice([*STORES]),
    help="Of one service; without it all three, and what API keys are hashed with.",
)
_url = click.option("--url", default="", help="The store of --only: sqlite:<path>.")
_force = click.option("--force", is_flag=True, help="Overwrite what is there.")


@click.command()
@_file
@_data
@_only
@_url
@_force
def backup(file: Path, data: Path | None, only: str | None, url: str, *, force: bool) -> None:
    """Write the SQLite stores into FILE, each as it is at one moment; services may go on.

    Who has the FILE has all that was said. For a server, use its own tools: see the README.
    """
    if file.exists() and not force:
        raise click.ClickException(f"{file} is there already: name another, or use --force")
    file.parent.mkdir(parents=True, exist_ok=True)
    with _in_a_sentence(), tempfile.TemporaryDirectory(dir=file.parent) as folder:
        found = {}
        for name, path in _places(data, only, url).items():
            if name != _PEPPER and not path.is_file():
                raise BackupRefused(f"there is no file {path}")
            if path.is_file():
                found[name] = Path(folder, name)
                (copyfile if name == _PEPPER else snapshot)(path, found[name])
        write_backup(file, found)
    click.echo(f"wrote {', '.join(found)} to {file}: {file.stat().st_size:,} bytes")


@click.command()
@_file
@_data
@_only
@_url
@_force
def restore(file: Path, data: Path | None, only: str | None, url: str, *, force: bool) -> None:
    """Put the stores in FILE in place, after checking all of them; the services must be stopped.

    What was erased after the backup was made is there again. Restore conversations and facts of
    the same backup: either alone may hold what the other one has erased.
    """
    runs = RunFile(data or Path(".chatmesh")).read()
    if runs:
        raise click.ClickException(f"the mesh runs here (process {runs.pid}): stop it first")
    places = _places(data, only, url)
    with _in_a_sentence(), tempfile.TemporaryDirectory() as folder:
        found = read_backup(file, Path(folder))
        wanted = {name: place for name, place in places.items() if name in found}
        if only and not wanted:
            raise BackupRefused(f"{file} has no {only}, only {', '.join(found)}")
        _refuse_what_is_there(wanted, force=force)
        for name in wanted.keys() - {_PEPPER}:
            check(found[name])
            asyncio.run(_brought_to_this_release(name, found[name]))
        for name, place in wanted.items():
            _put(found[name], place)
    click.echo(f"restored {', '.join(wanted)} from {file}")


def _places(data: Path | None, only: str | None, url: str) -> Mapping[str, Path]:
    """The files, by what they hold. Raises a ClickException for what is on a server."""
    if url and not only:
        raise click.UsageError("--url needs --only")
    places = {}
    for name in [only] if only else STORES:
        where = STORES[name].url(url) if url else url_of(name, data)
        path = path_of(where)
        if path is None:
            told = f"{name} are kept at {where.scheme}: use its own tools, see the README"
            raise click.ClickException(told)
        places[name] = path
    if not only:
        places[_PEPPER] = data / _PEPPER if data else pepper_file()
    return places


def _refuse_what_is_there(places: Mapping[str, Path], *, force: bool) -> None:
    there = [place for place in places.values() if place.exists()]
    if there and not force:
        told = ", ".join(map(str, there))
        raise BackupRefused(f"{told}: there already; --force overwrites, and what it held is lost")
    for name, place in places.items():
        if place in there and name != _PEPPER:
            _refuse_what_is_open(place)


def _refuse_what_is_open(database: Path) -> None:
    """Leaving SQLite's log needs the file for itself alone, whichever process else has it open."""
    try:
        with closing(sqlite3.connect(database, timeout=0)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise BackupRefused(f"{database} is in use: stop the service first") from None
    except sqlite3.DatabaseError:
        # It is broken. This may be why it is restored.
        return


async def _brought_to_this_release(name: str, database: Path) -> None:
    """Raises `CannotStart` where a newer release has written it."""
    async with STORES[name].opened(StoreUrl(f"{SCHEME}{database}")):
        pass


def _put(restored: Path, place: Path) -> None:
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = place.with_name(f"{place.name}.restored")
    aside.touch(mode=0o600)
    copyfile(restored, aside)
    with aside.open("rb") as writing:
        os.fsync(writing.fileno())
    for beside in _BESIDE:
        # A log of the file before would be read into this one.
        place.with_name(f"{place.name}{beside}").unlink(missing_ok=True)
    aside.replace(place)


@contextmanager
def _in_a_sentence() -> Iterator[None]:
    with in_a_sentence():
        try:
            yield
        except BackupRefused as error:
            raise click.ClickException(str(error)) from None
