"""What a policy makes of what was found."""

from typing import Any

import pytest

from services.moderation.api import Action, Direction, TextsTooLong, TextTooLong, Verdict
from tests.fakes.moderation import WordScorer, policy, screener, shown, watched


async def screened(text: str, direction: Direction, **rules: Any) -> Verdict:
    (verdict,) = await screener(policy(**rules)).screen([text], direction)
    return verdict


async def test_what_is_flagged_without_blocking_passes() -> None:
    verdict = await screened("so rude", Direction.INPUT)
    assert (verdict.action, verdict.flagged) == (Action.PASS, ("harassment",))


async def test_what_blocks_comes_with_all_that_is_flagged() -> None:
    verdict = await screened("so vile and rude", Direction.INPUT)
    assert (verdict.action, verdict.category) == (Action.BLOCK, "violence")
    assert verdict.flagged == ("harassment", "violence")


async def test_each_direction_has_rules_of_its_own() -> None:
    rules = {"input_rules": {"email": "block"}, "output_rules": {"email": "mask"}}
    asked = await screened("I am a@b.org", Direction.INPUT, **rules)
    told = await screened("I am a@b.org", Direction.OUTPUT, **rules)
    assert (asked.action, asked.category) == (Action.BLOCK, "email")
    assert (told.action, told.text) == (Action.REWRITE, "I am [email]")


async def test_what_passes_is_reported_all_the_same() -> None:
    verdict = await screened("I am a@b.org", Direction.INPUT)
    assert verdict.action is Action.PASS
    assert [span.rule for span in verdict.spans] == ["email"]


async def test_one_text_too_long_refuses_them_all() -> None:
    with pytest.raises(TextTooLong):
        await screener(policy(max_chars=5)).screen(["short", "longer"], Direction.INPUT)


async def test_all_texts_together_have_a_limit_that_the_error_names() -> None:
    scorer = WordScorer()
    kept = screener(policy(max_chars=8, max_request_chars=20), scorer)
    assert len(await kept.screen(["a" * 8, "b" * 8, "c" * 4], Direction.INPUT)) == 3
    scorer.windows.clear()
    with pytest.raises(TextsTooLong, match=r"21 characters in all.*at most 20.*max_request_chars"):
        await kept.screen(["a" * 8, "b" * 8, "c" * 5], Direction.INPUT)
    with pytest.raises(TextTooLong, match="max_chars"):
        await kept.screen(["a", "b" * 9], Direction.INPUT)
    assert scorer.windows == []


async def test_a_reply_is_watched_by_the_rules_for_output() -> None:
    kept = policy(input_rules={"email": "block"}, output_rules={"email": "mask"})
    assert shown(await watched(screener(kept), "I am a@b.org", "")) == "I am [email]"
