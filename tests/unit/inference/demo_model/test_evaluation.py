"""Probes are held out and repeatable; the table counts what a judge misses."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from services.inference.demo_model.evaluation import TorchJudge, evaluate
from services.inference.demo_model.exporting import export
from services.inference.demo_model.generator.composer import Composer
from services.inference.demo_model.network import untrained
from services.inference.demo_model.probes import ROWS, Probe, probes
from services.inference.demo_model.rendering import MODEL_FOLDER, ChatEncoder

OWN_WORDS = [name for name in ROWS if name != "refuses, others' words"]


class HalfDeaf:
    """Misses every second probe."""

    def misses(self, asked: Sequence[Probe]) -> list[tuple[Probe, str]]:
        return [(probe, "what?") for probe in asked[::2]]


@pytest.mark.parametrize("name", OWN_WORDS)
def test_a_row_has_as_many_probes_as_asked_for(held_out_composer: Composer, name: str) -> None:
    found = probes(held_out_composer, name, 5, seed=1)
    assert len(found) == 5
    assert found == probes(held_out_composer, name, 5, seed=1)
    assert all(probe.target["role"] == "assistant" for probe in found)


def test_a_probe_ends_before_its_target(held_out_composer: Composer) -> None:
    for probe in probes(held_out_composer, "answer from a stranger's result", 10, seed=1):
        assert probe.messages[-1]["role"] == "tool"


def test_the_table_counts_what_was_missed(
    held_out_composer: Composer, encoder: ChatEncoder, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = evaluate(
        HalfDeaf(), held_out_composer, encoder, rows=OWN_WORDS, count=4, seed=1, show=1
    )
    assert set(scores.values()) == {0.5}
    assert "| greets | 4 | 50.0% |" in capsys.readouterr().out


def test_an_untrained_model_misses_everything(
    tmp_path: Path, held_out_composer: Composer, encoder: ChatEncoder
) -> None:
    vocabulary = encoder.tokenizer.get_vocab_size()
    model = untrained(vocabulary, turn_end=encoder.turn_end, pad=encoder.pad, seed=1)
    export(model, MODEL_FOLDER, tmp_path / "model")
    judge = TorchJudge(tmp_path / "model", encoder)
    assert len(judge.misses(probes(held_out_composer, "greets", 3, seed=1))) == 3
