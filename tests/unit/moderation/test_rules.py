import pytest

from services.moderation.api import Span
from services.moderation.rules import Rulebook, UnknownRule
from tests.fakes.moderation import FINDERS, policy


def rulebook(**rules: str) -> Rulebook:
    named = {rule.replace("_", "-"): action for rule, action in rules.items()}
    return Rulebook(FINDERS, policy(input_rules=named).input)


def test_a_policy_that_names_no_known_rule_is_refused() -> None:
    with pytest.raises(UnknownRule, match="telefon"):
        rulebook(telefon="mask")


def test_what_passes_is_not_looked_for() -> None:
    assert rulebook(phone="pass").find("call 415-555-2671") == []
    assert rulebook(email="mask").find("call 415-555-2671 or a@b.org") == [Span(21, 28, "email")]


def test_finds_are_replaced_by_the_names_of_their_rules() -> None:
    book = rulebook(personal="mask")
    text = "mail a@b.org or call 415-555-2671."
    assert book.rewrite(text, book.masked(book.find(text))) == "mail [email] or call [phone]."


def test_hidden_writing_leaves_nothing_behind() -> None:
    book = rulebook(hidden="mask")
    text = "a\U000e0041\U000e0042b"
    assert book.rewrite(text, book.masked(book.find(text))) == "ab"


def test_overlapping_finds_become_one() -> None:
    spans = [Span(4, 9, "email"), Span(0, 5, "phone"), Span(9, 10, "iban")]
    masked = rulebook(personal="mask").masked(spans)
    assert masked == [Span(0, 9, "phone"), Span(9, 10, "iban")]


def test_the_rule_that_blocks_is_named() -> None:
    book = rulebook(iban="block", email="mask")
    assert book.blocked_by([Span(0, 1, "email"), Span(2, 3, "iban")]) == "iban"
    assert book.blocked_by([Span(0, 1, "email")]) == ""
