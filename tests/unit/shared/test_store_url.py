"""Where a store is: picked by a scheme, and a secret."""

import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Annotated

import pytest
import structlog
from pydantic import AfterValidator, ValidationError
from pydantic_settings import SettingsConfigDict

from services.shared import logs
from services.shared.config import ServiceConfig
from services.shared.process import read
from services.shared.store_url import StoreUrl, one_of

SECRET = "s3cr3t-of-the-store"
URL = f"postgresql://ann:{SECRET}@db/mesh"


class Config(ServiceConfig):
    model_config = SettingsConfigDict(env_prefix="NOTES_", frozen=True)

    address: str = "127.0.0.1:0"
    notes_url: Annotated[StoreUrl, AfterValidator(one_of("sqlite", "memory", "postgresql"))] = (
        StoreUrl("memory:")
    )


def test_its_scheme_is_told_and_its_text_only_where_it_is_asked_for() -> None:
    config = Config(notes_url=StoreUrl(URL))
    assert config.notes_url.scheme == "postgresql"
    assert config.notes_url.get_secret_value() == URL
    shown: Sequence[object] = (config, [config.notes_url], config.model_dump_json(), vars(config))
    for each in shown:
        assert SECRET not in f"{each} {each!r}"
        assert "postgresql" in str(each)


def test_a_log_shows_no_url() -> None:
    written = StringIO()
    before = structlog.get_config()
    logs.configure("INFO", written)
    try:
        structlog.get_logger().info("opened", url=StoreUrl(URL))
    finally:
        structlog.configure(**before)
    assert json.loads(written.getvalue())["url"] == "StoreUrl('postgresql:...')"


def test_a_file_may_hold_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "url").write_text(f"{URL}\n")
    monkeypatch.setenv("NOTES_NOTES_URL", f"file:{tmp_path}/url")
    assert read(Config).notes_url == StoreUrl(URL)


@pytest.mark.parametrize("url", ["memory:", "sqlite:notes.sqlite", "postgresql://db/notes"])
def test_a_scheme_that_is_known_is_taken(url: str) -> None:
    assert Config(notes_url=StoreUrl(url)).notes_url == StoreUrl(url)


WRONG = [
    f"mysql://ann:{SECRET}@db/mesh",
    f"ann:{SECRET}@db",
    f"memory:{SECRET}",
    SECRET,
    "",
    "sqlite:",
    f"file:/nowhere/{SECRET}",
    f"file:{URL}",
    "file:",
]


@pytest.mark.parametrize("url", WRONG)
def test_what_is_wrong_names_its_knob_and_what_is_known_and_not_itself(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTES_NOTES_URL", url)
    with pytest.raises(SystemExit) as ended:
        read(Config)
    with pytest.raises(ValidationError) as refused:
        Config()
    told = str(ended.value)
    assert told.startswith("NOTES_NOTES_URL: ")
    if not url.startswith("file:"):
        assert "sqlite:<path>, memory:, postgresql://..., or file:<path>" in told
    assert SECRET not in f"{told} {refused.value} {refused.value!r}"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"file:/etc/hostname", b"mysql://db"])
def test_a_file_that_holds_no_such_url_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "url").write_bytes(content)
    with pytest.raises(ValidationError, match="notes_url"):
        Config(notes_url=StoreUrl(f"file:{tmp_path}/url"))
