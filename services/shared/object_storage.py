"""Fetches a model's files from object storage into a folder, before a service reads them there.

    python -m services.shared.object_storage s3://bucket/model /var/cache/models/model

The stores are obstore's: s3://bucket/path, gs://bucket/path, az://account/container/path. Keys,
region and endpoint are the environment's, under the names of the stores' own tools: AWS_*,
GOOGLE_*, AZURE_*.
"""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import click
import obstore
from filelock import FileLock
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
_CHUNK_BYTES = 16 * 2**20
_AT_ONCE = 8
_PATIENCE = timedelta(seconds=30)


class NotFetched(Exception):
    """The sentence says what is wrong and what helps."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    path: str
    size: int
    modified: datetime

    def is_in(self, folder: Path) -> bool:
        """A file of this size and age is this one: it was put there whole."""
        target = folder / self.path
        if not target.exists():
            return False
        found = target.stat()
        return (found.st_size, int(found.st_mtime)) == (self.size, int(self.modified.timestamp()))


def fetch(url: str, folder: Path, *, weights: bool = True) -> Iterator[StoredFile]:
    """Brings `folder` up to date; yields each file that it wrote.

    Several may do so at once: one fetches, the others wait for it and find everything there.
    Raises NotFetched.
    """
    try:
        store = from_url(url, retry_config={"retry_timeout": _PATIENCE})
        files = _listed(store, url)
        wanted = [file for file in files if weights or not file.path.endswith(_WEIGHTS)]
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            missing = [file for file in wanted if not file.is_in(folder)]
            with ThreadPoolExecutor(_AT_ONCE) as threads:
                yield from threads.map(lambda file: _fetched(store, file, folder), missing)
    except (BaseError, ValueError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise NotFetched(
            f"{url} cannot be read: {reason} (is the address right, and do the AWS_*, GOOGLE_* or "
            "AZURE_* variables give the region and keys of one who may list and read it?)"
        ) from error
    except OSError as error:
        raise NotFetched(f"{folder} cannot be written: {error}") from error


def _listed(store: ObjectStore, url: str) -> list[StoredFile]:
    found = [
        StoredFile(each["path"], each["size"], each["last_modified"])
        for batch in obstore.list(store)
        for each in batch
    ]
    if not any(file.path == "config.json" for file in found):
        held = f"{len(found)} files" if found else "nothing"
        raise NotFetched(
            f"{url} holds {held}, and no config.json: it has to be the folder of a model"
        )
    return found


def _fetched(store: ObjectStore, file: StoredFile, folder: Path) -> StoredFile:
    target = folder / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    with partial.open("wb") as opened:
        for chunk in obstore.get(store, file.path).stream(min_chunk_size=_CHUNK_BYTES):
            opened.write(chunk)
    modified = file.modified.timestamp()
    os.utime(partial, (modified, modified))
    partial.replace(target)
    return file


@click.command(help=__doc__)
@click.argument("url")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--without-weights", is_flag=True, help="Only what a tokenizer needs.")
def main(url: str, folder: Path, without_weights: bool) -> None:
    size = files = 0
    try:
        for file in fetch(url, folder, weights=not without_weights):
            files, size = files + 1, size + file.size
            click.echo(f"fetched {file.path}, {file.size / 2**20:.1f} MiB")
    except NotFetched as error:
        sys.exit(f"object storage: {error}")
    click.echo(f"{folder} is up to date: {files} files fetched, {size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
