"""The URL of a store: its scheme picks the adapter, and what else it holds is a secret."""

from collections.abc import Callable
from pathlib import Path

from pydantic import Secret

_FILE = "file"
# What it names ends with the process, so nothing stands behind its colon.
_MEMORY = "memory"


class StoreUrl(Secret[str]):
    """`sqlite:<path>`, `memory:`, `postgresql://...` and so on.

    It may hold a password. Printed, logged or dumped it shows its scheme alone: adapters read it
    with `get_secret_value`.
    """

    @property
    def scheme(self) -> str:
        """What stands before the first colon; nothing where there is none."""
        scheme, colon, _ = self.get_secret_value().partition(":")
        return scheme if colon else ""

    def _display(self) -> str:
        return f"{self.scheme}:..."


def one_of(*schemes: str) -> Callable[[StoreUrl], StoreUrl]:
    """Checks a URL of a configuration, which is of one of the schemes or `file:<path>`.

    A file's content is the URL; it is read once, when the process starts.
    """

    def checked(url: StoreUrl) -> StoreUrl:
        if url.scheme == _FILE:
            url = _from_file(url)
        rest = url.get_secret_value().partition(":")[2]
        if url.scheme not in schemes or bool(rest) == (url.scheme == _MEMORY):
            raise ValueError(f"no such store is known: give {_told(schemes)}")
        return url

    return checked


def _from_file(url: StoreUrl) -> StoreUrl:
    """Its errors do not name the file: who mistakes a URL for a path writes a password there."""
    path = Path(url.get_secret_value().partition(":")[2])
    try:
        return StoreUrl(path.read_text().strip())
    except UnicodeDecodeError:
        raise ValueError("the file holds no text: the URL is expected there") from None
    except OSError as error:
        raise ValueError(f"the file: {error.strerror}: the URL is expected there") from None


def _told(schemes: tuple[str, ...]) -> str:
    forms = {_MEMORY: f"{_MEMORY}:", "sqlite": "sqlite:<path>"}
    known = ", ".join(forms.get(each, f"{each}://...") for each in schemes)
    return f"{known}, or file:<path> where a file holds it"
