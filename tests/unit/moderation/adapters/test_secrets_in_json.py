"""Secrets in JSON, as a model writes a call's arguments: what is masked there is JSON as before."""

import json

import pytest

from services.moderation.api import Direction
from services.moderation.rules import Rulebook
from tests.fakes.moderation import FINDERS, policy

RULEBOOK = Rulebook(FINDERS, policy().for_direction(Direction.OUTPUT))
WORD = "a8Kd92JfLs83jdKQ02lskDJf83kslLQo1xZ9"
LINE = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
SECRETS = {
    f"ghp_{WORD}": "{}",
    "AKIAQYLPMN5HFIQR7XYA": "{}",
    f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.{WORD}": "{}",
    f"cm_live_{WORD[:8]}_{WORD}{WORD[:7]}_0a1b2c3d": "{}",
    "Zx4K!p9Lm#2Qr7": "password: {}",
    "kT9wQ2xA": "mysql -u ann -p{}",
    "kT9wQ2xB": "sshpass -p '{}' ssh h",
    "kT9wQ2xC": "Server=h;User Id=ann;Password={};x=y",
    "q9Lr72MxPz04KdTe81Wv": "Cookie: sid={}; a=b",
    "kT9wQ2xD": "machine x login ann password {}",
    "Xk29vLq81mZ": "postgres://app:{}@db/x",
    f"-----BEGIN PRIVATE KEY-----\n{LINE}\n{LINE}\n-----END PRIVATE KEY-----": "{}",
}
AROUND = ("{}", 'say "{}"', "line\n{}\nline", "a\t{}", "C:\\{}\\", '"{}";', "{} é", "'{}'")


def masked(text: str) -> str:
    return RULEBOOK.rewrite(text, RULEBOOK.masked(RULEBOOK.find(text)))


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize(("secret", "behind"), SECRETS.items())
def test_a_masked_secret_leaves_valid_json(secret: str, behind: str, around: str) -> None:
    inner = {"text": around.format(behind.format(secret)), "other": "me@x.org"}
    for value in (inner, {"nested": json.dumps(inner), "url": "http://x:8080"}):
        for written in (json.dumps(value, separators=(",", ":")), json.dumps(value, indent=1)):
            shown = masked(written)
            assert json.loads(shown).keys() == value.keys()
            assert secret.split("\n")[-2 if "\n" in secret else 0] not in shown


@pytest.mark.parametrize(
    "text",
    [
        '{"url":"http://x:8080","mail":"me@x.org"}',
        "http://a.b:8080,ann@example.org and http://x.org:80;bob@example.org",
        r"C:\new\token.txt and \n\t",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked(text) == text
