import pytest

from loadtest.client import Answer
from loadtest.sameness import NotTheSame, check_answers, check_work

PROMPTS = [[1, 2, 3], [4, 5]]
QUESTIONS = ["first", "second"]


def answers(**last: object) -> list[Answer]:
    """Two that are as asked; `last` is said of the second."""
    same = {"tokens": 8, "finish_reason": "length", "text": "so"}
    first = Answer(prompt_tokens=3, **same)  # type: ignore[arg-type]
    return [first, Answer(**{"prompt_tokens": 2, **same, **last})]  # type: ignore[arg-type]


def test_the_same_on_both_sides_is_no_difference() -> None:
    assert check_answers(QUESTIONS, PROMPTS, answers(), answers(), tokens=8) == 0


def test_texts_that_differ_are_counted() -> None:
    ours = answers(text="not so")
    assert check_answers(QUESTIONS, PROMPTS, ours, answers(), tokens=8) == 1


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ({"prompt_tokens": 40}, "read 40 tokens where the prompt has 2"),
        ({"tokens": 7}, "wrote 7 tokens, not 8"),
        ({"finish_reason": "stop"}, "for the reason 'stop'"),
        ({"called": True}, "called a function"),
    ],
)
@pytest.mark.parametrize("side", ["the mesh", "bare vLLM"])
def test_a_request_that_differs_is_named_with_its_side(
    side: str, last: dict[str, object], words: str
) -> None:
    ours, theirs = answers(), answers()
    if side == "the mesh":
        ours = answers(**last)
    else:
        theirs = answers(**last)
    with pytest.raises(NotTheSame) as raised:
        check_answers(QUESTIONS, PROMPTS, ours, theirs, tokens=8)
    told = str(raised.value)
    assert told.startswith(side)
    assert words in told
    assert told.endswith("second")


def test_the_work_that_the_engine_counts_is_the_work_that_was_asked_for() -> None:
    check_work("the mesh", PROMPTS, tokens=8, seen=(2, 5, 16))


@pytest.mark.parametrize("seen", [(3, 5, 16), (2, 6, 16), (2, 5, 15)])
def test_a_second_round_of_the_model_is_no_equal_work(seen: tuple[int, int, int]) -> None:
    with pytest.raises(NotTheSame, match="the engine of the mesh counts"):
        check_work("the mesh", PROMPTS, tokens=8, seen=seen)
