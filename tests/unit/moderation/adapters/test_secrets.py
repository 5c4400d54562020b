"""gitleaks' rules as we run them; keys are made up for these tests."""

import pytest

from services.moderation.adapters.secrets import open_secrets

SECRETS = open_secrets()
PEM = "-----BEGIN RSA PRIVATE KEY-----\n" + f"{'MIIEpAIBAAKCAQEAx9Yz' * 3}\n" * 3 + "Qk4=\n"


def found(text: str) -> list[tuple[str, str]]:
    return [(span.rule, text[span.start : span.end]) for span in SECRETS.find(text)]


@pytest.mark.parametrize(
    ("text", "rule", "secret"),
    [
        (
            "push with ghp_a8Kd92JfLs83jdKQ02lskDJf83kslLQo1xZ9.",
            "github-pat",
            "ghp_a8Kd92JfLs83jdKQ02lskDJf83kslLQo1xZ9",
        ),
        ("id AKIAQYLPMN5HFIQR7XYA, ok", "aws-access-token", "AKIAQYLPMN5HFIQR7XYA"),
        ("api_key = 'zX81kLmQ02pRt7vYw3bN'", "generic-api-key", "zX81kLmQ02pRt7vYw3bN"),
        ("(token: q9Lr72MxPz04KdTe81Wv)", "generic-api-key", "q9Lr72MxPz04KdTe81Wv"),
        ("postgres://bob:s3cr3tPa55@db.local/x", "url-credentials", "s3cr3tPa55"),
        (
            'curl -X POST \\\n -H "Authorization: Bearer abcdefgh12345XYZ" https://x.org',
            "curl-auth-header",
            "abcdefgh12345XYZ",
        ),
        ("密钥是AKIAQYLPMN5HFIQR7XYA。", "aws-access-token", "AKIAQYLPMN5HFIQR7XYA"),
    ],
)
def test_finds_the_secret_and_nothing_around_it(text: str, rule: str, secret: str) -> None:
    assert (rule, secret) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "The key to success: practise, responsibility and a bit of luck.",
        "password: hunter2",
        "api_key = os.environ['OPENAI_API_KEY']",
        "token = get_access_token_from_request(request)",
        "postgres://user:password@localhost/db and https://x.org:8080/a@b",
        "A private key begins with -----BEGIN PRIVATE KEY----- and then says things in base64.",
        "AKIAIOSFODNN7EXAMPLE",
        "",
    ],
)
def test_leaves_what_only_speaks_of_secrets(text: str) -> None:
    assert found(text) == []


def test_a_private_key_is_found_whole() -> None:
    text = f"here {PEM}-----END RSA PRIVATE KEY----- bye"
    assert found(text) == [("private-key", text[5:-4])]


def test_a_private_key_cut_off_is_found_as_far_as_it_goes() -> None:
    assert found(f"here {PEM}")[0][1].startswith("-----BEGIN RSA")


def test_places_are_told_in_characters() -> None:
    text = "🔑é AKIAQYLPMN5HFIQR7XYA"
    (span,) = SECRETS.find(text)
    assert (span.start, span.end) == (3, 23)


def test_a_lone_surrogate_does_no_harm() -> None:
    assert found("\ud800 AKIAQYLPMN5HFIQR7XYA") == [("aws-access-token", "AKIAQYLPMN5HFIQR7XYA")]


def test_a_generic_find_comes_after_a_named_one() -> None:
    rules = [rule for rule, _ in found("api_key = 'sk_live_4eC39HqLyjWDarjtT1zdp7dc'")]
    assert rules == ["stripe-access-token", "generic-api-key"]


# Anything but linear takes hours.
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text", ["key key key key = " * 20_000, "a" * 300_000, "-----BEGIN " * 30_000, "curl " * 60_000]
)
def test_no_text_takes_long(text: str) -> None:
    SECRETS.find(text)
    SECRETS.settled(text)


def test_a_curl_command_is_open_until_its_line_ends() -> None:
    assert SECRETS.settled('run curl -u "tom:my pass ') == 4
    assert SECRETS.settled("run curl -u tom:x http://y\n") == 27
