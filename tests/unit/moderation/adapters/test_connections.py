"""Connection strings, and files that programs log in with; all secrets are made up."""

import pytest

from services.moderation.adapters.secrets import open_secrets

SECRETS = open_secrets()
WORD = "a8Kd92JfLs83jdKQ02lskDJf83kslLQo1xZ9"
BCRYPT = "$2y$10$" + (WORD + WORD)[:53]


def found(text: str) -> list[tuple[str, str]]:
    return [(span.rule, text[span.start : span.end]) for span in SECRETS.find(text)]


@pytest.mark.parametrize(
    "text",
    [
        "jdbc:mysql://h:3306/db?user=ann&password={}&useSSL=false",
        "jdbc:sqlserver://h:1433;databaseName=db;user=sa;password={};encrypt=true",
        "jdbc:oracle:thin:ann/{}@h:1521:x",
        "Server=tcp:h,1433;Database=x;User ID=ann;Password={};Encrypt=True;",
        "Data Source=h;Initial Catalog=x;User Id=ann;Pwd={}",
        '"Default": "Password={};User ID=ann;Data Source=h"',
        "Server=h;User Id=ann;Password='{}';Database=x",
        "machine h\n\tlogin ann\n\taccount x\n\tpassword {}",
        "psql 'host=h user=ann password={} dbname=x'",
        "psql 'postgresql://h/db?user=ann&password={}'",
        "machine api.x.org login ann password {}",
        "machine api.x.org\n  login ann\n  password {}",
        "db.x.org:5432:shop:ann:{}",
        "in .pgpass: *:*:*:ann:{} and so on",
        "[pypi]\nusername = ann\npassword = {}",
        "username: ann\n  password: '{}'",
    ],
)
def test_a_password_is_found_and_nothing_around_it(text: str) -> None:
    written = text.format("kT9wQ2x")
    assert [what for _, what in found(written)] == ["kT9wQ2x"]
    for password in ("changeme", "<password>", "${DB_PASSWORD}"):
        assert found(text.format(password)) == []


@pytest.mark.parametrize(
    ("text", "rule", "secret"),
    [
        ("Host=h;Password=kT9 wQ2x;Database=x", "connection-password", "kT9 wQ2x"),
        ('Host=h;Password="kT9; wQ2x";x=y', "connection-password", "kT9; wQ2x"),
        ("x;Password=kT9wQ2x and then restart", "connection-password", "kT9wQ2x"),
        (f"AccountName=a;AccountKey=admin{WORD}==;x=y", "account-key", f"admin{WORD}=="),
        (f"//npm.x.org/:_authToken=admin{WORD}", "login-password", f"admin{WORD}"),
        (f"client-key-data: admin{WORD}", "private-key", f"admin{WORD}"),
        (
            f"tls.key: LS0tLS1CRUdJTiBFQyBQUklWQVRFIEtFWS0t{WORD}=",
            "private-key",
            f"LS0tLS1CRUdJTiBFQyBQUklWQVRFIEtFWS0t{WORD}=",
        ),
        ("ann:$apr1$x8Kd92Jf$Ls83jdKQ02lskDJf83ksl1", "password-hash", ""),
        (f"ann:{BCRYPT}", "password-hash", BCRYPT),
        (f"root:$6$a8Kd92Jf${WORD}{WORD}:18000:0::", "password-hash", f"$6$a8Kd92Jf${WORD}{WORD}"),
        ("ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "password-hash", ""),
    ],
)
def test_a_secret_is_found_by_its_rule(text: str, rule: str, secret: str) -> None:
    assert (rule, secret or text[4:]) in found(text)


def test_a_password_that_may_hold_blanks_is_open_until_its_end() -> None:
    assert SECRETS.settled("Server=h;Password=kT9 wQ2x") == 18
    assert SECRETS.settled("Server=h;Password=kT9 wQ2x;Data") == 31
    assert SECRETS.settled("Server=h;Password=kT9\n") == 22
