"""Tokens and headers that gitleaks has no rule for; all are made up."""

from base64 import b64encode

import pytest

from services.gateway import keys
from services.moderation.adapters.secrets import open_secrets

SECRETS = open_secrets()
WORD = "a8Kd92JfLs83jdKQ02lskDJf83kslLQo1xZ9"
SIGNED = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.{WORD}"
ENCRYPTED = f"eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..{WORD[:16]}.{WORD}.{WORD[:22]}"
TEXT_SIGNED = f"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5.{WORD}"
BASIC = b64encode(b"ann:Zx4Kp9Lm2Qr7").decode()


def found(text: str) -> list[tuple[str, str]]:
    return [(span.rule, text[span.start : span.end]) for span in SECRETS.find(text)]


@pytest.mark.parametrize("token", [SIGNED, ENCRYPTED, TEXT_SIGNED])
@pytest.mark.parametrize(
    "around",
    ["{}", "jwt={}&x=1", "<{}>", "**{}**", "|{}|", "({}).", "{},", "x?id_token={}#y", "`{}`"],
)
def test_a_web_token_is_found_whatever_stands_around_it(token: str, around: str) -> None:
    assert token in [secret.rstrip("=") for _, secret in found(around.format(token))]


def test_the_meshs_own_keys_are_found() -> None:
    key = str(keys.mint())
    assert ("chatmesh-api-key", key) in found(f"my key is {key}, is it valid?")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"Authorization: Basic {BASIC}", BASIC),
        (f'"Proxy-Authorization": "basic {BASIC}"', BASIC),
        (f'{{"auths": {{"r.io": {{"auth": "{BASIC}"}}}}}}', BASIC),
        (f"//npm.acme.dev/:_auth={BASIC}", BASIC),
        (f"Authorization: Bearer {WORD}", WORD),
        (f"authorization: token {WORD}", WORD),
        (f"send it as `Bearer {WORD}`.", WORD),
        (
            "Bearer 3f786850e387550fdab836ed7e6dc881",
            "3f786850e387550fdab836ed7e6dc881",
        ),
        (f"use sk-proj-{WORD}, please", WORD),
        (f"sk-ant-api03-{WORD}", WORD),
        (f"sk-{WORD}", WORD),
        (f"GOCSPX-{WORD[:28]}", WORD[:28]),
        (f"ya29.{WORD}", WORD),
        (f"gsk_{WORD}{WORD[:16]}", WORD + WORD[:16]),
        (f"dckr_pat_{WORD[:27]}", WORD[:27]),
        (f"whsec_{WORD}", WORD),
        (
            f"https://discord.com/api/webhooks/118095392035456789/{WORD}",
            WORD,
        ),
        (f"bot 918273645:AA{WORD[:33]}!", f"918273645:AA{WORD[:33]}"),
        (
            f"https://x.blob.core.windows.net/c?sp=r&sig={WORD}0134567%3D",
            f"{WORD}0134567%3D",
        ),
    ],
)
def test_a_token_or_a_header_is_found(text: str, secret: str) -> None:
    assert any(secret in what for _, what in found(text))


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer <token> and Bearer $TOKEN and Bearer YOUR_ACCESS_TOKEN_1",
        'headers["Authorization"] = "Bearer " + get_token2(user_id)',
        'headers = {"Authorization": f"Bearer {self._token}"}',
        "Authorization: Basic <base64(user:password)>",
        "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        f"Authorization: Basic {b64encode(b'user:password').decode()}",
        "basic understanding of Kubernetes and basic instruments4 rule",
        "the bearer documentation-page-v2-Final is here",
        '"auth": "none", auth: required, auth=LOGIN12345',
        "every web token begins with eyJ: eyJhbGciOi..., eyJust.pdf, eyJack.eyJill.com",
        "sk-learn-contrib-imbalanced-learn-0.12.3-py3, sk-..., sk-xxxxxxxxxxxxxxxxxxxxxxxx",
        "OPENAI_API_KEY=sk-your-key-here-and-nothing-else",
        "gsk_xxx whsec_... GOCSPX-xxxxxxxxxxxxxxxxxxxx1 cm_live_...",
        "1//0 is a division, ?sig=example is a parameter, 2024:AA is a ratio",
    ],
)
def test_what_only_looks_like_one_stays(text: str) -> None:
    assert found(text) == []
