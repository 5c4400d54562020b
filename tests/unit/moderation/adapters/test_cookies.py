"""Cookies by which somebody is logged in; all are made up."""

import pytest

from services.moderation.adapters.secrets import open_secrets

SECRETS = open_secrets()
WORD = "q9Lr72MxPz04KdTe81Wv"


def found(text: str) -> list[str]:
    return [text[span.start : span.end] for span in SECRETS.find(text)]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (
            f"Cookie: sessionid={WORD}; theme=dark; csrftoken=Zx4Kp9Lm2Qr7Tv0aB",
            [WORD, "Zx4Kp9Lm2Qr7Tv0aB"],
        ),
        (f"Set-Cookie: connect.sid=s%3A{WORD}.abc; Path=/; HttpOnly", [f"s%3A{WORD}.abc"]),
        ("set-cookie: PHPSESSID=298zf09hf012fh2csjd92k; path=/", ["298zf09hf012fh2csjd92k"]),
        (f"curl -b 'JSESSIONID={WORD}' https://x.org", [WORD]),
        (f'cookies = {{"session_id": "{WORD}", "lang": "en-GB-2024"}}', [WORD]),
        (f'document.cookie = "auth={WORD}; path=/"', [WORD]),
    ],
)
def test_what_says_who_somebody_is_is_found(text: str, values: list[str]) -> None:
    assert found(text) == values


def test_a_header_ends_with_its_line() -> None:
    assert found(f"Cookie: a=b\nX-Session: session-name={WORD[:9]}") == []
