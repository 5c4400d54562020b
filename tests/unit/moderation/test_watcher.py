"""What of a growing reply is shown, and when."""

import random
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.moderation.api import Action, Direction, Grown
from services.moderation.policy import Policy
from tests.fakes.moderation import WordScorer, policy, screener, shown, watched

KEY = "ghp_a8Kd92JfLs83jdKQ02lskDJf83kslLQo1xZ9"
PEM = "-----BEGIN RSA PRIVATE KEY-----\n" + f"{'MIIEpAIBAAKCAQEAx9Yz' * 3}\n" * 3 + "Qk4=\n"
PEM_END = "-----END RSA PRIVATE KEY-----"
ENCRYPTED = PEM.replace("\n", "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123\n\n", 1)
_LINES = f"{'MIIEpAIBAAKCAQEAx9Yz' * 3}\n" * 2 + "Qk4=\n"
SSH2 = f"---- BEGIN SSH2 PRIVATE KEY ----\nComment: a\n{_LINES}---- END SSH2 PRIVATE KEY ----"
PUTTY = f"PuTTY-User-Key-File-2: ssh-rsa\nPrivate-Lines: 3\n{_LINES}Private-MAC: 0a\n"
VAULT = "$ANSIBLE_VAULT;1.1;AES256\n" + f"{'386638353664' * 5}\n" * 2 + "3938\n"
EVERYTHING = {"secrets": "mask", "personal": "mask", "hidden": "mask"}
FRAGMENTS = (
    *(
        "The cat sat on the mat. ",
        "in ",
        "a\n",
        "line\\\n",
        " ",
        ", and so on; ",
        "🏴\U000e0067\U000e007f ",
    ),
    *(f"my token is {KEY}", f"({KEY}). ", "api_key = 'zX81kLmQ02pRt7vYw3bN'", "password: hunter2 "),
    *("AKIAQYLPMN5HFIQR7XYA", "postgres://bob:s3cr3tPa55@db/x ", PEM + PEM_END, PEM, "-----BEGIN "),
    *(ENCRYPTED + PEM_END, f"{ENCRYPTED}{PEM_END}".replace("\n", "\n> "), ENCRYPTED),
    *("- name: DB_PASSWORD\n", "  value: Zx4K!p9Lm#2Qr7\n", "password: |\n", "  Zx4K!p9Lm#2Qr7\n"),
    *("login ann\n", "password Zx4Kp9Lm2Qr7Tv0 ", "Bearer a8Kd92JfLs83jdKQ02ls, ", "| secret | "),
    *('curl -H "Authorization: Bearer abcdefgh12345XYZ" http://x\n', "curl is a tool\n"),
    *(
        "call 415-555-2671",
        "+44 20 7946 0958 ",
        "DE89 3704 0044 0532 0130 00 ",
        "4111 1111 1111 1111",
    ),
    *(
        "078-05-1120 ",
        "me@example.org, ",
        "10.1.2.3 ",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 ",
        "2024-01-02 ",
    ),
    *("mysql -u ann -p", "'kT9 wQ2x' ", "kT9wQ2x ", "docker login -p ", "echo ", "| sudo -S apt\n"),
    *("Cookie: sid=", "q9Lr72MxPz04KdTe81Wv; ", "Server=h;Password=", "kT9 wQ2x", ";Data=x "),
    *("---- ", SSH2, SSH2[:90], PUTTY, PUTTY[:140], VAULT, VAULT[:60], "$2y$10$"),
    *("machine x ", "*:*:*:ann:kT9wQ2x ", "username = ann\n", "password = kT9wQ2x\n"),
    *(
        "密钥是",
        "你好世界。",
        "hi\U000e0041\U000e0042dden",
        "x\u202ey ",
        "tel: ",
        "office ",
        "é",
        "\r\n",
    ),
)


def cut_at(text: str, places: Sequence[int]) -> list[str]:
    bounds = [0, *sorted({place % (len(text) + 1) for place in places}), len(text)]
    return [text[begin:end] for begin, end in pairwise(bounds)]


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=14),
    st.lists(st.integers(0, 10_000), max_size=12),
    st.sampled_from([(1,), (3, 5), (8, 24, 40)]),
)
async def test_however_a_reply_is_cut_it_is_shown_as_the_whole_would_be(
    fragments: list[str], places: list[int], ramp: tuple[int, ...]
) -> None:
    text = "".join(fragments)
    core = screener(policy(release_after_words=ramp, output_rules=EVERYTHING))
    (verdict,) = await core.screen([text], Direction.OUTPUT)
    whole = verdict.text if verdict.action is Action.REWRITE else text
    assert shown(await watched(core, *cut_at(text, places))) == whole


@pytest.mark.parametrize("seed", range(25))
async def test_no_part_of_a_blocked_window_is_shown(seed: int) -> None:
    chooser = random.Random(seed)
    before = " ".join(["word"] * chooser.randrange(120))
    text = f"{before} SEED vile SEED " + "SEED " * 30
    chunks = [text[at : at + 7] for at in range(0, len(text), 7)]
    scorer = WordScorer()
    releases = await watched(screener(policy(release_after_words=(1,)), scorer), *chunks)
    assert releases[-1].blocked_by == "violence"
    assert text.startswith(shown(releases))
    words = shown(releases).split()
    blocked = next(window for window in scorer.windows if "vile" in window).split()
    # What was shown of it was cleared before, as the end of the window before.
    cleared = max(n for n in range(len(blocked)) if words[len(words) - n :] == blocked[:n])
    assert cleared <= 10
    assert "vile" in blocked[cleared:]


async def test_everything_is_scored_before_it_is_shown() -> None:
    scorer = WordScorer()
    core = screener(policy(), scorer)
    text = " ".join(f"w{number}" for number in range(200))
    scored: set[str] = set()
    for release in await watched(core, *cut_at(text, range(0, 2_000, 31))):
        scored |= {word for window in scorer.windows for word in window.split()}
        assert set(release.text.split()) <= scored


async def test_what_comes_is_scored_with_ten_words_of_what_came_before() -> None:
    scorer = WordScorer()
    words = [f"w{number}" for number in range(60)]
    await watched(
        screener(policy(), scorer), " ".join(words[:20]) + " ", " ".join(words[20:50]) + " ", ""
    )
    assert scorer.windows[1].split() == words[10:50]


async def test_text_without_spaces_is_not_held_back() -> None:
    releases = await watched(screener(policy()), "你好世界" * 5, "你好世界" * 8, "")
    assert releases[0].text == "你好世界" * 5
    assert releases[1].text == "你好世界" * 8


async def test_a_word_that_may_become_a_secret_waits_for_its_end() -> None:
    releases = await watched(
        screener(policy(release_after_words=(1,))), f"it is {KEY[:20]}", f"{KEY[20:]} , so", ""
    )
    assert [release.text for release in releases] == ["it is ", "[github-pat] , ", "so"]


async def test_no_part_of_a_private_key_with_entries_is_shown() -> None:
    core = screener(policy(release_after_words=(1,)))
    releases = await watched(core, *f"here: {ENCRYPTED}{PEM_END} bye")
    assert shown(releases) == "here: [private-key] bye"


async def test_a_private_key_waits_for_its_end() -> None:
    releases = await watched(
        screener(policy(release_after_words=(1,))), f"here: {PEM}", f"{PEM_END} bye now", ""
    )
    assert [release.text for release in releases] == ["here: ", "[private-key] bye ", "now"]


async def test_a_private_key_that_never_ends_is_masked_at_the_end() -> None:
    releases = await watched(screener(policy()), f"here: {PEM}")
    assert shown(releases) == "here: [private-key]\n"


async def test_what_the_policy_lets_pass_is_not_waited_for() -> None:
    releases = await watched(screener(policy()), "a b c d e f g +44 20 7946 ", "0958", "")
    assert releases[0].text == "a b c d e f g +44 20 7946 "


async def test_a_number_waits_for_the_word_that_says_what_it_is() -> None:
    kept = policy(release_after_words=(1,), output_rules={"phone": "mask"})
    releases = await watched(screener(kept), "ask 655 437 ", "108 ", "office ", "hours")
    assert [release.text for release in releases] == ["ask ", "", "[phone] office ", "hours"]


async def test_a_rule_may_stop_a_reply() -> None:
    kept = policy(output_rules={"aws-access-token": "block"})
    releases = await watched(screener(kept), "the key is AKIAQYLPMN5HFIQR7XYA , keep it safe", "")
    assert releases[-1].blocked_by == "aws-access-token"
    assert shown(releases) == ""


async def test_a_word_without_end_is_shown_at_last() -> None:
    kept: Policy = policy()
    releases = await watched(screener(kept), "x" * 5_000, "y z")
    assert releases[0].text == "x" * 5_000


async def test_what_another_watch_has_answered_is_released_again_and_not_scored() -> None:
    """But for words that it had not scored yet, which are scored with the next ones."""
    chunks = ["a b c d ", f"e f {KEY} ", "g h ", "i ", "forbidden j k l ", "m"]
    kept = policy(release_after_words=[4])
    first = await watched(screener(kept), *chunks[:4], "")
    scorer = WordScorer({"forbidden": ("violence", 1.0)})
    again = screener(kept, scorer)

    async def reply() -> AsyncIterator[Grown]:
        for number, chunk in enumerate(chunks):
            yield Grown(chunk, final=chunk == "m", judged=number < 4)

    releases = [release async for release in again.watch(reply())]
    assert releases[:4] == first[:4]
    assert releases[4].blocked_by == "violence"
    assert scorer.windows[0].endswith(" g h i forbidden j k l")
