"""What is told of two releases that were asked the same."""

from pathlib import Path

import pytest

from loadtest.client import Answer, Load
from loadtest.releases import Pair, Round, check_same, row, wanting
from loadtest.sameness import NotTheSame


def done(*texts: str, seconds: float, steps: int, prompt_tokens: int = 20) -> Round:
    answers = [
        Answer(
            first_token=seconds / 2,
            prompt_tokens=prompt_tokens,
            tokens=10,
            finish_reason="length",
            text=text,
        )
        for text in texts
    ]
    return Round(Load(answers, seconds), steps)


def test_a_row_has_the_medians_of_its_rounds() -> None:
    pairs = [
        Pair(done("a", "b", seconds=2, steps=4), done("a", "b", seconds=times, steps=8))
        for times in (1, 2, 4)
    ]
    assert row(64, pairs) == (64, 10, 10, 1, 0.5, 2, 1000, 1000, 1000, 1000, 4, 8, 0)


def test_texts_that_differ_are_counted() -> None:
    pair = Pair(done("a", "b", seconds=2, steps=4), done("a", "c", seconds=2, steps=4))
    check_same(pair)
    assert row(1, [pair])[-1] == 1


def test_another_prompt_is_no_ratio() -> None:
    other = done("a", seconds=1, steps=1)
    with pytest.raises(NotTheSame, match="prompt_tokens: the other release has 20, this one 21"):
        check_same(Pair(other, done("a", seconds=1, steps=1, prompt_tokens=21)))


def test_a_folder_that_is_no_installed_release_is_told(tmp_path: Path) -> None:
    (tmp_path / "loadtest").mkdir()
    (tmp_path / "loadtest/processes.py").touch()
    assert wanting(tmp_path) == ".venv/bin/python, protos/gen"
