"""What is said before the engine is asked to load something that is no model."""

from pathlib import Path

import pytest

from services.inference.adapters.vllm_start import check_model
from services.shared.errors import CannotStart


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "config.json").touch()
    (tmp_path / "model.safetensors").touch()
    return tmp_path


def test_a_model_and_a_name_on_the_hub_pass(model: Path) -> None:
    check_model(str(model))
    check_model("Qwen/Qwen3-8B")


@pytest.mark.parametrize("nowhere", ["/no/such/directory", "two words", "Qwen/Qwen3/8B"])
def test_a_place_that_is_not_there_is_named(nowhere: str) -> None:
    with pytest.raises(CannotStart, match=f"^{nowhere} is neither"):
        check_model(nowhere)


def test_a_file_is_no_model(model: Path) -> None:
    with pytest.raises(CannotStart, match="neither"):
        check_model(str(model / "config.json"))


@pytest.mark.parametrize(
    ("missing", "said"), [("config.json", "no config.json"), ("model.safetensors", "no weights")]
)
def test_what_is_missing_is_named(model: Path, missing: str, said: str) -> None:
    (model / missing).unlink()
    with pytest.raises(CannotStart, match=said):
        check_model(str(model))


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        ("model.Q4_K_M.gguf", "GGUF, which vLLM does not read"),
        ("training_args.bin", "no weights"),
        ("optimizer.pt", "no weights"),
    ],
)
def test_what_the_engine_does_not_read_is_no_weights(model: Path, instead: str, said: str) -> None:
    (model / "model.safetensors").rename(model / instead)
    with pytest.raises(CannotStart, match=said):
        check_model(str(model))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model-00001-of-00002.safetensors"])
def test_weights_under_other_names_are_weights(model: Path, name: str) -> None:
    (model / "model.safetensors").rename(model / name)
    check_model(str(model))
