from pathlib import Path

import pytest

from services.moderation.api import CATEGORIES, Direction
from services.moderation.policy import BUNDLED, BrokenPolicy, RuleAction, read_policy
from tests.fakes.moderation import FINDERS, policy


def scores(**by_category: float) -> list[float]:
    named = {
        name.replace("__", "/").replace("_", "-"): score for name, score in by_category.items()
    }
    return [named.get(category, 0.0) for category in CATEGORIES]


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    return tmp_path / "policy.yaml"


def test_the_bundled_policy_has_a_word_on_every_category_both_ways() -> None:
    bundled = read_policy(BUNDLED)
    for direction in Direction:
        assert set(bundled.for_direction(direction).categories) == set(CATEGORIES)


def test_the_bundled_policy_answers_whoever_thinks_of_harming_themselves() -> None:
    side = read_policy(BUNDLED).input
    thought = scores(self_harm=1.0, self_harm__intent=1.0)
    assert side.blocking(thought) == ""
    assert side.flagged(thought) == ("self-harm", "self-harm/intent")


def test_the_narrower_category_is_named() -> None:
    side = read_policy(BUNDLED).input
    assert side.blocking(scores(sexual=0.99, sexual__minors=0.9)) == "sexual/minors"


def test_a_rules_own_entry_counts_for_more_than_its_familys() -> None:
    side = policy(input_rules={"personal": "mask", "phone": "pass"}).input
    assert side.action("phone", "personal") is RuleAction.PASS
    assert side.action("email", "personal") is RuleAction.MASK
    assert side.action("github-pat", "secrets") is RuleAction.PASS


def test_later_releases_wait_as_long_as_the_last_one_named() -> None:
    kept = policy(release_after_words=(8, 24))
    assert [kept.release_after(releases) for releases in range(4)] == [8, 24, 24, 24]


@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        ("harassment: {flag", "harasment: {flag", "harasment is no category"),
        ("block: 0.8", "block: 1.8", "less than or equal to 1"),
        ("secrets: mask", "secrets: hide", "'pass', 'mask' or 'block'"),
        ("overlap: 10", "overlap: 40", "overlap must be less than words"),
        ("max_chars", "max_charz", "max_charz"),
        ("phrases: {}", "phrases: [", "phrases"),
    ],
)
def test_a_broken_file_says_where(changed: Path, was: str, becomes: str, says: str) -> None:
    changed.write_text(BUNDLED.read_text().replace(was, becomes, 1))
    with pytest.raises(BrokenPolicy, match=says):
        read_policy(changed)


def test_the_bundled_policy_names_only_rules_that_exist() -> None:
    known = {finder.family for finder in FINDERS} | {r for f in FINDERS for r in f.rules}
    bundled = read_policy(BUNDLED)
    assert {*bundled.input.rules, *bundled.output.rules} <= known
