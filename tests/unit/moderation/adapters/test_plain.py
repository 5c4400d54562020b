"""What is written in other forms of the same characters is found, and told in its own places."""

import pytest

from services.moderation.api import Direction
from services.moderation.rules import Rulebook
from tests.fakes.moderation import FINDERS, policy, screener, shown, watched

KEY = "ghp_a8Kd92JfLs83jdKQ02lskDJf83kslLQo1xZ9"
EVERYTHING = {"secrets": "mask", "personal": "mask"}
KEPT = policy(release_after_words=(1,), output_rules=EVERYTHING)
RULEBOOK = Rulebook(FINDERS, KEPT.for_direction(Direction.OUTPUT))


def wide(text: str) -> str:
    return "".join(chr(ord(each) + 0xFEE0) if each.isalnum() else each for each in text)


@pytest.mark.parametrize(
    ("written", "masked"),
    [
        (f"{KEY[:12]}\u200b{KEY[12:]}", "[github-pat]"),
        (f"\u200b{KEY[:4]}\u00ad{KEY[4:]}\u200b", "\u200b[github-pat]\u200b"),
        ("\ufeff".join(KEY), "[github-pat]"),
        (wide(KEY), "[github-pat]"),
        ("4111\u00a01111\u20091111\u202f1111", "[credit-card]"),
        ("4111\u20111111\u20131111\u22121111", "[credit-card]"),
        ("4111\u200b1111\u200b1111\u200b1111", "[credit-card]"),
        (wide("4111111111111111"), "[credit-card]"),
        ("\u0664" + "\u0661" * 15, "[credit-card]"),
        ("DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000", "[iban]"),
        ("+44\u00a020\u00a07946\u00a00958", "[phone]"),
        ("ann\u200b@example\u2060.org", "[email]"),
    ],
)
@pytest.mark.parametrize("around", ["{}", "é {} ü", "im \u2013 \u200b{} \u2014 e\u0301 \ufb01"])
async def test_what_is_hidden_so_is_found(written: str, masked: str, around: str) -> None:
    text, expected = around.format(written), around.format(masked)
    assert RULEBOOK.rewrite(text, RULEBOOK.masked(RULEBOOK.find(text))) == expected
    assert shown(await watched(screener(KEPT), *text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "10\u00b2 m\u00b2 and 12\u00b3, \u2460 to \u2461",
        "e\u0301t\u00e9 \u2013 hiver \u00ab mot de passe \u00bb",
        "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u200d",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 and \u2764\ufe0f",
    ],
)
async def test_what_is_no_secret_stays_as_it_is_written(text: str) -> None:
    assert RULEBOOK.find(text) == []
    assert shown(await watched(screener(KEPT), *text)) == text
