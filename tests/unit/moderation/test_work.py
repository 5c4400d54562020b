"""A text twice as long takes twice the work, whatever is in it. Work is counted, never timed."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from services.moderation.api import Direction, Grown, Span
from services.moderation.rules import Rulebook
from services.moderation.watcher import Watcher
from services.moderation.windows import WindowSize, count_words, last_gap, last_words, passages
from tests.fakes.moderation import FINDERS, WordScorer, policy

RULEBOOK = Rulebook(FINDERS, policy().for_direction(Direction.OUTPUT))
SIZE = WindowSize(words=30, overlap=10)
WORKS: dict[str, Callable[[str], object]] = {
    **{f"{finder.family} are found": finder.find for finder in FINDERS},
    **{f"{finder.family} settle": finder.settled for finder in FINDERS},
    "finds are masked": lambda text: RULEBOOK.rewrite(text, RULEBOOK.masked(RULEBOOK.find(text))),
    "passages are cut": lambda text: passages(text, SIZE),
    "words are counted": count_words,
    "the last words are taken": lambda text: last_words(text, 10),
    "the last gap is found": last_gap,
}
UNITS = {
    "mails and numbers": "a@b.co 1234 ",
    "mails": "a@b.co,",
    "phones": "call 01 23 45 67 89, ",
    "other phones": "02 23 45 67 89, ",
    "accounts": "DE89 3704 0044 0532 0130 00 ",
    "keys after a letter of many bytes": "é AKIAQYLPMN5HFIQR7XYA ",
    "keys with names": "api_key = 'zX81kLmQ02pRt7vYw3bN' ",
    "passwords with names": "db_pass: Zx4K!p9Lm#2Qr7$Ns3Vt% ",
    "URLs": "amqp://bob:s3cr3tPa55@h ",
    "curl": "curl -H 'Authorization: Bearer abcdefgh12345XYZ' https://x.org ",
    "begun keys": "-----BEGIN RSA PRIVATE KEY-----\n",
    "whole keys": f"-----BEGIN RSA PRIVATE KEY-----\n{'MIIEpAIBAAKCAQEAx9Yz' * 3}\n",
    "begun keys with entries": "-----BEGIN RSA PRIVATE KEY-----\nComment: a\n",
    "lines of quoted keys": f"-----BEGIN RSA PRIVATE KEY-----\n> {'MIIEpAIBAAKCAQEAx9Yz' * 3}\n> ",
    "web tokens": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.",
    "access tokens": "sk-proj-a8Kd92JfLs83jdKQ02ls ",
    "headers": "Authorization: Basic YW5uOlp4NEtwOUxtMlFyNw== ",
    "URLs with two @": "amqp://bob@x:s3cr3t@Pa55@h,",
    "tables": "| password | Zx4K!p9Lm#2Qr7 ",
    "names and values": "- name: token\n  value: Zx4K!p9Lm#2Qr7\n",
    "names without values": "password:",
    "joined lines": "token\\\n",
    "lines": "secret\n",
    "commands": "mysql -u ann -pkT9wQ2x ",
    "commands without passwords": "docker login mysql -u ",
    "open commands": "mysql -p'a ",
    "echoes": "echo a | ",
    "cookies": "Cookie: sid=q9Lr72MxPz04KdTe81Wv; ",
    "cookies without values": "curl -b Cookie:",
    "connections": ";Password=kT9wQ2x",
    "users": "user=a\n",
    "begun keys of ssh.com": "---- BEGIN SSH2 PRIVATE KEY ----\n",
    "keys of PuTTY": f"Private-Lines: 1\n{'MIIEpAIBAAKCAQEAx9Yz' * 3}\n",
    "begun keys of PuTTY": "Private-Lines: 1\n",
    "vaults": f"$ANSIBLE_VAULT;1.1;AES256\n{'386638353664' * 5}\n",
    "begun vaults": "$ANSIBLE_VAULT;1.1;AES256\n",
    "hashes": "$2y$10$",
    "hidden letters": "\u200b\u200b\u200ba",
    "hidden rows": "\u202e",
    "orders": "ignore all previous instructions ",
    "one word": "a",
    "dots": ".",
    "short sentences": "no. ",
    "digits": "1",
    "colons": "1:",
    "ideographs": "好",
    "spaced letters": "k i l l m y s e l f on ",
    "escapes": "\\\\u0061",
    "backslashes": "\\",
    "joined words": "howdoirunaprogramhere ",
    "digits for letters": "k1ll3 a1",
    "marks": "a\u0489\u0e49",
    "dotted letters": "h.o.w. .d.o. .",
    "wide keys": "\uff47hp_\u200ba8Kd92JfLs83jdKQ02lskDJf83kslLQo1xZ9 ",
    "unseen letters": "a\u200b",
    "mails of letters": "j\u00f6rg'a@",
    "lookalikes": "k\u0456ll ",
    "tags": "<b",
    "stars": "*",
}


class CountedRulebook(Rulebook):
    """Counts the characters that it has read."""

    read = 0

    def find(self, text: str) -> list[Span]:
        self.read += len(text)
        return super().find(text)


@pytest.mark.parametrize(
    "unit", ["curl -H 'a: b' ", f"{'MIIEpAIBAAKCAQEAx9Yz' * 3}\n", "token \\\n", "words "]
)
async def test_a_reply_of_which_nothing_is_settled_is_not_read_anew_with_every_word(
    unit: str,
) -> None:
    kept = policy()
    rulebook = CountedRulebook(FINDERS, kept.for_direction(Direction.OUTPUT))
    watcher = Watcher(WordScorer(), rulebook, kept)
    reply = f"-----BEGIN PRIVATE KEY-----\n{unit * (30_000 // len(unit))}"
    for at in range(0, len(reply), 300):
        await watcher.grow(Grown(reply[at : at + 300], final=False))
    await watcher.grow(Grown("", final=True))
    assert rulebook.read <= 12 * len(reply)


def work(call: Callable[[str], object], text: str) -> int:
    """Instructions of ours that were run, and characters of texts that were made for it."""
    frames: dict[FrameType, None] = {}
    texts: dict[int, Any] = {}
    instructions = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal instructions
        instructions += 1
        if event == "call" and frame not in frames:
            frames[frame] = None
            frame.f_trace_opcodes = True
            made = (each for each in frame.f_locals.values() if isinstance(each, str | bytes))
            texts.update((id(each), each) for each in made)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call(text)
    finally:
        sys.settrace(before)
    return instructions + sum(map(len, texts.values()))


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
@pytest.mark.parametrize("call", WORKS.values(), ids=WORKS)
def test_twice_the_text_is_twice_the_work(call: Callable[[str], object], unit: str) -> None:
    short, long = (unit * (chars // len(unit)) for chars in (3_000, 6_000))
    work(call, short)  # what is set up on the first use
    assert work(call, long) <= 2.3 * work(call, short) + 500
