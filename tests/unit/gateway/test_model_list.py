"""Which models are listed, and what of them."""

from dataclasses import replace

from services.gateway.model_list import ModelList, in_common
from tests.fakes.mesh import CARD

OTHER = replace(CARD, id="other")


def test_what_all_who_serve_a_model_have_in_common() -> None:
    able = replace(
        CARD, context_tokens=100, calls_tools=True, reasons=True, summarises=True, sees=True
    )
    less = replace(
        able, context_tokens=50, calls_tools=False, reasons=False, summarises=False, sees=False
    )
    assert in_common([able, OTHER, less]) == (less, OTHER)
    assert in_common([less, able]) == (less,)
    assert in_common([]) == ()


def test_a_number_that_nobody_has_told_is_not_the_smallest() -> None:
    told, untold = replace(CARD, created_at=7), replace(CARD, context_tokens=0, created_at=0)
    assert in_common([told, untold]) == in_common([untold, told]) == (told,)


def test_what_has_gone_is_listed_for_a_while_and_what_came_back_as_it_is_now() -> None:
    now = 0.0
    listed = ModelList(lambda: now, kept_seconds=10)
    listed.remember([CARD, OTHER])
    now = 9
    larger = replace(OTHER, context_tokens=CARD.context_tokens * 2)
    assert listed.cards([larger]) == (larger, CARD)
    now = 11
    assert listed.cards([larger]) == (larger,)
    assert listed.cards([]) == ()
