"""Brings a folder up to date with a model that is kept elsewhere."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog
from filelock import FileLock

from services.shared.weights.bucket import Bucket
from services.shared.weights.hub import SCHEME, Hub
from services.shared.weights.ports import WEIGHTS, ModelSource, StoredFile, Unreadable

_log = structlog.get_logger()
_AT_ONCE = 8
# Empty files that say that a folder was complete once: with everything, or all but the weights.
_COMPLETE, _WITHOUT_WEIGHTS = Path(".complete"), Path(".complete-without-weights")


class NotFetched(Exception):
    """The sentence says what is wrong and what helps."""


def fetch(url: str, folder: Path, *, weights: bool = True) -> Iterator[StoredFile]:
    """Brings `folder` up to date with hf://, s3://, gs:// or az://; yields each file it wrote.

    Several processes may call this at once for one folder: one fetches, and the others wait until
    it is done. If the source does not answer, a folder that was complete once is left as it is.
    Raises NotFetched.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            yield from _fetched(url, folder, weights=weights)
    except Unreadable as error:
        raise NotFetched(f"{url} cannot be read: {error}") from error
    except OSError as error:
        raise NotFetched(f"{folder} cannot be written: {error}") from error


def _fetched(url: str, folder: Path, *, weights: bool) -> Iterator[StoredFile]:
    marks = [_WITHOUT_WEIGHTS, _COMPLETE] if weights else [_WITHOUT_WEIGHTS]
    try:
        source: ModelSource = Hub(url) if url.startswith(SCHEME) else Bucket(url)
        stored = source.stored(folder)
    except Unreadable as error:
        if not (folder / marks[-1]).exists():
            raise
        _log.warning("taken as it was last fetched", model=url, reason=str(error))
        return
    _check(url, stored)
    missing = [file for file in stored if not file.here and (weights or not _is_weights(file))]
    if missing:
        for mark in (_WITHOUT_WEIGHTS, _COMPLETE):
            (folder / mark).unlink(missing_ok=True)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for file, _ in zip(
            missing, threads.map(lambda file: source.fetch(file, folder), missing), strict=True
        ):
            yield file
    for mark in marks:
        (folder / mark).touch()


def _check(url: str, stored: Sequence[StoredFile]) -> None:
    if not any(file.path == "config.json" for file in stored):
        held = f"{len(stored)} files" if stored else "nothing"
        raise NotFetched(
            f"{url} holds {held}, and no config.json: it has to be the folder of a model"
        )


def _is_weights(file: StoredFile) -> bool:
    return file.path.endswith(WEIGHTS)
