"""Models in S3, Google Cloud Storage or Azure Blob Storage: obstore's stores."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from services.shared.weights.ports import StoredFile, Unreadable

_CHUNK_BYTES = 16 * 2**20
_PATIENCE = timedelta(seconds=30)
_REMEDY = (
    "is the address right, and do the AWS_*, GOOGLE_* or AZURE_* variables, or the pod's own "
    "identity, belong to one who may list and read it?"
)


class Bucket:
    """`s3://bucket/path`, `gs://bucket/path` or `az://container/path`.

    Keys, region and endpoint are the environment's, under the names of the stores' own tools.
    """

    def __init__(self, url: str) -> None:
        with _readable():
            self._store = from_url(url, retry_config={"retry_timeout": _PATIENCE})

    def stored(self, folder: Path) -> list[StoredFile]:
        with _readable():
            return [
                StoredFile(
                    each["path"],
                    each["size"],
                    _is_copy(
                        folder / each["path"], each["size"], each["last_modified"].timestamp()
                    ),
                )
                for batch in obstore.list(self._store)
                for each in batch
            ]

    def fetch(self, file: StoredFile, folder: Path) -> None:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.partial")
        with _readable():
            found = obstore.get(self._store, file.path)
            with partial.open("wb") as opened:
                for chunk in found.stream(min_chunk_size=_CHUNK_BYTES):
                    opened.write(chunk)
        modified = found.meta["last_modified"].timestamp()
        os.utime(partial, (modified, modified))
        partial.replace(target)


def _is_copy(target: Path, size: int, modified: float) -> bool:
    """`fetch` puts files there whole, so one of the same size and age is a copy of it."""
    if not target.exists():
        return False
    found = target.stat()
    return (found.st_size, int(found.st_mtime)) == (size, int(modified))


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (BaseError, ValueError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise Unreadable(f"{reason} ({_REMEDY})") from error
