"""What may be turned."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from services.inference.config import DEMO_DIRECTORY, InferenceConfig


def test_the_default_is_the_demo_model() -> None:
    config = InferenceConfig()
    assert config.name == "chatmesh-demo"
    assert DEMO_DIRECTORY.is_dir()


def test_a_directory_is_served_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "Qwen3-8B").mkdir()
    assert InferenceConfig(model=str(tmp_path / "Qwen3-8B")).name == "Qwen3-8B"
    assert InferenceConfig(model=f"{tmp_path}/Qwen3-8B/").name == "Qwen3-8B"


def test_a_name_on_the_hub_is_kept() -> None:
    assert InferenceConfig(model="Qwen/Qwen3-8B").name == "Qwen/Qwen3-8B"


def test_the_served_name_may_be_another() -> None:
    assert InferenceConfig(served_name="house").name == "house"


def test_engine_arguments_are_a_json_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERENCE_ENGINE_ARGS", '{"enforce_eager": true}')
    assert InferenceConfig().engine_args == {"enforce_eager": True}


@pytest.mark.parametrize("wrong", ["enforce_eager", "[1]"])
def test_other_engine_arguments_are_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("INFERENCE_ENGINE_ARGS", wrong)
    with pytest.raises((ValidationError, SettingsError), match="engine_args"):
        InferenceConfig()


def test_an_empty_parser_name_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert InferenceConfig().tool_parser is None
    monkeypatch.setenv("INFERENCE_TOOL_PARSER", "")
    assert InferenceConfig().tool_parser == ""
