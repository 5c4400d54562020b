"""What fetching needs of wherever a model is kept."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """`path` is within the model's folder. `here`: a whole and current copy is there already."""

    path: str
    size: int
    here: bool


class Unreadable(Exception):
    """The source does not answer, or refuses. The sentence says what it said and what helps."""


class ModelSource(Protocol):
    """A model's files, where they are kept."""

    def stored(self, folder: Path) -> list[StoredFile]:
        """All of them, compared with what is in `folder`. Raises Unreadable."""

    def fetch(self, file: StoredFile, folder: Path) -> None:
        """Writes the file there, whole or not at all. Raises Unreadable, OSError."""
