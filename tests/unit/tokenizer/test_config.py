"""What may be configured, and how wrong values are told."""

import json
from pathlib import Path

import pytest

from services.shared.process import read
from services.tokenizer.config import TokenizerConfig


def test_models_are_directories_or_hub_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"mine": str(tmp_path), "theirs": "some-org/Some.Model-7B"}
    monkeypatch.setenv("TOKENIZER_MODELS", json.dumps(models))
    assert read(TokenizerConfig).models == models


@pytest.mark.parametrize("models", ['{"mine": "/no/such/directory"}', "{}"])
def test_anything_else_ends_the_process_with_the_name_of_the_knob(
    models: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENIZER_MODELS", models)
    with pytest.raises(SystemExit) as caught:
        read(TokenizerConfig)
    assert "TOKENIZER_MODELS" in str(caught.value)
