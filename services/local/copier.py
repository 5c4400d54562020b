"""Copies all records of one store to another, so that it can be interrupted at any time."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from services.shared.moving import Movable, RecordKind, every_page

# How many records are read and written at once.
PAGE = 200
# Called with what is done, to how many records of which kind so far.
Told = Callable[[str, str, int], None]


class NotCopied(Exception):
    """The sentence says why, and what to do instead."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a copy has come: the kinds before `kind`, and of `kind` what is before `place`."""

    # Which store is copied, and where to; without passwords.
    source: str
    target: str
    # Empty: all is copied, but the two were not the same then, or were not compared.
    kind: str
    place: str = ""
    # How many records were copied, by kind.
    copied: dict[str, int] = field(default_factory=dict)


class ProgressFile:
    """Keeps how far a copy has come. It is there from the first write to the target until the end.

    While it is there, what the target holds is known to be the copy's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Progress | None:
        try:
            return Progress(**json.loads(self.path.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            raise NotCopied(
                f"{self.path} says nothing of a copy: remove it, or name another"
            ) from None

    def write(self, progress: Progress) -> None:
        """All or nothing, also when the machine loses power meanwhile."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f"{self.path.name}.fresh")
        with fresh.open("w") as writing:
            json.dump(asdict(progress), writing)
            writing.flush()
            os.fsync(writing.fileno())
        fresh.replace(self.path)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


class Copier:
    """From one store to another of the same port.

    A page is written before the place behind it: after an interruption at most one page is written
    a second time, over itself.
    """

    def __init__(
        self,
        source: Movable,
        target: Movable,
        kinds: Sequence[RecordKind[Any]],
        kept: ProgressFile,
        told: Told,
        *,
        page: int,
    ) -> None:
        self._source = source
        self._target = target
        self._kinds = kinds
        self._kept = kept
        self._told = told
        self._page = page

    async def copy(self, source: str, target: str) -> None:
        """Between two stores of these names; goes on where the last copy between them ended.

        Where that one had come to its end, all is copied once more. Raises `NotCopied`.
        """
        progress = self._kept.read()
        if progress is None:
            await self._refuse_what_is_there()
        elif (progress.source, progress.target) != (source, target):
            raise NotCopied(f"{self._kept.path} is of another copy: name a file for this one")
        if progress is None or not progress.kind:
            progress = Progress(source, target, self._kinds[0].name)
            self._kept.write(progress)
        names = [*(kind.name for kind in self._kinds), ""]
        for place in range(names.index(progress.kind), len(self._kinds)):
            progress = await self._copy_kind(self._kinds[place], progress)
            progress = replace(progress, kind=names[place + 1], place="")
            self._kept.write(progress)

    async def _refuse_what_is_there(self) -> None:
        for kind in self._kinds:
            if (await self._target.records(kind.type, "", 1)).records:
                raise NotCopied(
                    f"the target holds {kind.name} already, and nothing tells that they are of this"
                    " copy: copy into an empty store"
                )

    async def _copy_kind(self, kind: RecordKind[Any], progress: Progress) -> Progress:
        async for page in every_page(self._source, kind.type, progress.place, self._page):
            if page.records:
                await self._target.put_records(page.records)
            copied = progress.copied.get(kind.name, 0) + len(page.records)
            progress = replace(
                progress, place=page.rest, copied={**progress.copied, kind.name: copied}
            )
            if page.rest:
                self._kept.write(progress)
            self._told("copied", kind.name, copied)
        return progress
