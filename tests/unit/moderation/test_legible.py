"""How texts are read before they are scored."""

import pytest

from services.moderation.legible import legible


@pytest.mark.parametrize(
    "text",
    [
        "",
        "How do I kill a process in C++? See https://example.org/a-b?c=1&d=2",
        "if a<b and c>d: return {'x': [1, 2]}  # 50% of 2*3*4",
        "IPv4, mp3, GPT-4, B2B, 1st, 3D, k8s, python3, sha256, user1, s3",
        "\u041f\u0440\u0438\u0432\u0435\u0442, IT-\u043c\u0438\u0440",
        "\u4f60\u597d\uff0c\u4eca\u65e5\u306e\u5929\u6c17",
        "He was uncharacteristically disproportionately kind",
        "a b c",
        "\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48, \u0540\u0561\u0575",
        "\u0645\u064f\u062d\u064e\u0645\u0651\u062f",
        "C:\\\\users\\\\x and \\\\xyz",
        "\\",
    ],
)
def test_what_is_plain_stays(text: str) -> None:
    assert legible(text) == text


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("k\u0456ll m\u0443s\u0435lf", "kill myself"),
        ("k\u200bi\u00adl\u2060l", "kill"),
        ("na\u00efve caf\u00e9", "naive cafe"),
        ("\uff48\uff4f\uff57 \U0001d424\U0001d422\U0001d425\U0001d425", "how kill"),
        ("h o w  d o  I  r u n", "how do I run"),
        ("h.o.w d.o I r.u.n", "how do I run"),
        ("h-o-w-d-o-I-r-u-n", "how do I run"),
        ("w h a t i s t h i s now", "what is this now"),
        ("WhatIsTheBestWayToRun", "What Is The Best Way To Run"),
        ("h0w d0 I k1ll 1t", "how d0 I kill 1t"),
        ("a p1p3 at h0m3, t0d4y", "a pipe at home, today"),
        ("**how** _do_ I `run`", "how do I run"),
        ("how<b> </b>do<br/>", "how do"),
        ("kill_all+workers", "kill all workers"),
        ("caf\\u00e9 \\u0061nd\\nbar \\\\u0061", "cafe and bar a"),
        ("\\ud83d\\ude42 \\ud835\\udc24ill", "\U0001f642 kill"),
        ("half \\ud800 or \\udfff\\ud800", "half \ufffd or \ufffd\ufffd"),
        ("&#104;ow &amp; why", "how & why"),
        ("how%20do%20I", "how do I"),
        ("how%2520do &amp;#73; r\\x75n a \\u{6a}ob", "how do I run a job"),
        (
            "\U0001f177\U0001f17e\U0001f186 \U0001f1e9\U0001f1f4 \u24a4 \u0280\u1d1c\u0274",
            "how do i run",
        ),
        ("h\u0585w d\u0585 I r\u057d\u0578, \u13deEAVE", "how do I run, LEAVE"),
        ("h\u0489\u0e49o\u0489\u0e49w\u20dd d\u0483o", "how do"),
        ("how\u2800do\u3164I", "how do I"),
        ("H.o.w. .d.o. .I. .r.u.n", "How do I run"),
    ],
)
def test_what_hides_words_is_undone(text: str, read: str) -> None:
    assert legible(text) == read


def test_no_word_is_left_out() -> None:
    """Whatever stands in what looks like a tag, an attribute or a number is read as well."""
    text = '<kill me> <a title="kill me"> 1<k 2>'
    assert legible(text) == text


def test_letters_without_words_stay_joined() -> None:
    assert legible("\u0436" + "x" * 300) == "\u0436" + "x" * 300
    assert "qzxjqzxjqzxj" in legible("qzxjqzxjqzxjqzxjqzxj")
