"""What is dropped, and how far."""

import pytest

from services.shared.conversation import Role
from services.tokenizer.api import (
    Candidate,
    ContextTooLong,
    FitRequest,
    Fitted,
    TemplateMessage,
    TemplateRefused,
)
from services.tokenizer.fitter import Fitter
from tests.fakes.tokenizer import WordModel

SYSTEM = Candidate(TemplateMessage(Role.SYSTEM, "be kind"))
LEFT_OUT = TemplateMessage(Role.SYSTEM, "...")


def turns(first: int, last: int) -> list[Candidate]:
    """Ten tokens each."""
    words = "one two three four"
    return [
        Candidate(
            TemplateMessage(role, f"{words} {unit}" if role is Role.USER else words[4:]), unit
        )
        for unit in range(first, last + 1)
        for role in (Role.USER, Role.ASSISTANT)
    ]


def fit(
    candidates: list[Candidate],
    max_tokens: int,
    *,
    step: int = 0,
    left_out: TemplateMessage | None = None,
    model: WordModel | None = None,
) -> tuple[Fitted, list[str]]:
    model = model or WordModel()
    fitted = Fitter(model, FitRequest("", candidates, [], max_tokens, step, left_out)).fit()
    assert len(fitted.ids) <= max_tokens
    return fitted, model.prompts[-1]


def test_what_fits_stays() -> None:
    fitted, texts = fit([SYSTEM, *turns(1, 3)], 33)
    assert fitted.dropped_through_unit == 0
    assert len(texts) == 7


def test_the_lowest_units_go_first_wherever_they_stand() -> None:
    fitted, texts = fit([*turns(2, 3), SYSTEM, *turns(1, 1)], 23)
    assert fitted.dropped_through_unit == 1
    assert texts[4] == "be kind"
    assert len(texts) == 5


def test_units_need_not_be_counted_through() -> None:
    fitted, _ = fit([*turns(7, 7), *turns(3, 3), SYSTEM], 13)
    assert fitted.dropped_through_unit == 3


def test_dropping_goes_on_to_the_next_multiple() -> None:
    assert fit(turns(1, 10), 95)[0].dropped_through_unit == 1
    assert fit(turns(1, 10), 95, step=40)[0].dropped_through_unit == 4
    assert fit(turns(1, 10), 55, step=40)[0].dropped_through_unit == 8


def test_the_cut_stays_put_for_several_turns() -> None:
    cuts = [fit(turns(1, n), 100, step=40)[0].dropped_through_unit for n in range(11, 19)]
    assert cuts == [4, 4, 4, 4, 8, 8, 8, 8]


def test_the_step_never_takes_all_that_there_is() -> None:
    assert fit([SYSTEM, *turns(1, 3)], 30, step=1000)[0].dropped_through_unit == 1


def test_a_marker_stands_where_the_dropped_units_stood() -> None:
    _, texts = fit([SYSTEM, *turns(1, 3)], 30, left_out=LEFT_OUT)
    assert texts[:3] == ["be kind", "...", "one two three four 2"]


def test_nothing_is_said_of_what_was_not_dropped() -> None:
    _, texts = fit([SYSTEM, *turns(1, 3)], 33, left_out=LEFT_OUT)
    assert "..." not in texts


def test_the_marker_counts() -> None:
    assert fit([SYSTEM, *turns(1, 3)], 23)[0].dropped_through_unit == 1
    assert fit([SYSTEM, *turns(1, 3)], 23, left_out=LEFT_OUT)[0].dropped_through_unit == 2


def test_a_marker_that_the_template_refuses_is_left_out_itself() -> None:
    model = WordModel(refuses="...")
    fitted, texts = fit([SYSTEM, *turns(1, 3)], 30, left_out=LEFT_OUT, model=model)
    assert fitted.dropped_through_unit == 1
    assert texts[:2] == ["be kind", "one two three four 2"]


def test_any_other_refusal_is_told() -> None:
    with pytest.raises(TemplateRefused):
        fit([SYSTEM, *turns(1, 3)], 30, left_out=LEFT_OUT, model=WordModel(refuses="be kind"))


def test_what_may_not_be_dropped_may_be_too_long() -> None:
    with pytest.raises(ContextTooLong) as caught:
        fit([SYSTEM, *turns(1, 3)], 2, left_out=LEFT_OUT)
    assert caught.value.details == {"tokens": "5", "max_tokens": "2"}


def test_without_anything_to_drop_it_is_too_long_at_once() -> None:
    with pytest.raises(ContextTooLong) as caught:
        fit([SYSTEM], 2)
    assert caught.value.details == {"tokens": "3", "max_tokens": "2"}


@pytest.mark.parametrize("misjudged", [0, 1, 1000])
def test_messages_that_are_misjudged_still_fit_in_few_rounds(misjudged: int) -> None:
    model = WordModel(misjudged=misjudged)
    fit([SYSTEM, *turns(1, 500)], 100, model=model)
    assert len(model.prompts) <= 10
