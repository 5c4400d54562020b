"""Models on the Hugging Face hub, or on a mirror of it that HF_ENDPOINT names."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import DryRunError, HfHubHTTPError, LocalEntryNotFoundError
from huggingface_hub.utils.tqdm import disable_progress_bars

from services.shared.weights.ports import StoredFile, Unreadable

SCHEME = "hf://"
_REMEDY = (
    "is the id right, can the hub be reached, and is HF_TOKEN that of one who accepted the "
    "model's terms?"
)


class Hub:
    """`hf://owner/name`, and maybe `@revision`: a branch, tag or commit."""

    def __init__(self, url: str) -> None:
        self._name, _, revision = url.removeprefix(SCHEME).strip("/").partition("@")
        self._revision = revision or None
        disable_progress_bars()

    def stored(self, folder: Path) -> list[StoredFile]:
        with _readable():
            found = snapshot_download(
                self._name, revision=self._revision, local_dir=folder, dry_run=True
            )
        if found:
            # From now on everything is of this commit, also if the branch moves.
            self._revision = found[0].commit_hash
        return [
            StoredFile(each.filename, each.file_size or 0, not each.will_download) for each in found
        ]

    def fetch(self, file: StoredFile, folder: Path) -> None:
        with _readable():
            hf_hub_download(self._name, file.path, revision=self._revision, local_dir=folder)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (DryRunError, HfHubHTTPError, LocalEntryNotFoundError, ValueError) as error:
        # A DryRunError says only that it failed; the reason is in what it was raised from.
        told = error.__cause__ if isinstance(error, DryRunError) and error.__cause__ else error
        reason = " ".join(str(told).split())
        raise Unreadable(f"{reason} ({_REMEDY})") from error
