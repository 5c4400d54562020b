"""Private keys in the forms in which people and programs write them; all are made up."""

import pytest

from services.moderation.adapters.secrets import open_secrets

SECRETS = open_secrets()
LINE = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"


def key(kind: str = "RSA PRIVATE KEY", entries: str = "", between: str = "\n") -> str:
    lines = [f"-----BEGIN {kind}-----", *entries.split("\n"), *[LINE] * 4, "xQ9="]
    return between.join([*lines, f"-----END {kind}-----"])


KEYS = {
    **{
        kind: key(kind)
        for kind in (
            *("PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
            *("OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"),
        )
    },
    "two entries": key(entries="Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123\n"),
    "entries in JSON": key(entries="Proc-Type: 4,ENCRYPTED\nDEK-Info: A,01\n", between="\\n"),
    "entries of PGP": key("PGP PRIVATE KEY BLOCK", "Hash: SHA256\nComment: Ann <ann@x.org>\n"),
    **{
        f"between: {between!r}": key(between=between)
        for between in (
            *("\\n", "\\\\n", "\r\n", "\\r\\n", " ", "\n    ", "\\\n", "<br>", "%0A", "&#10;"),
            *("\n> ", "\n | ", "\n+", "\n-", "\n# ", "\n// ", '\\n" +\n  "', '\\n"\n"', "\n\n"),
        )
    },
}


@pytest.mark.parametrize("written", KEYS.values(), ids=KEYS)
def test_a_private_key_is_found_however_its_lines_are_joined(written: str) -> None:
    text = f"here: {written} bye"
    (span,) = [span for span in SECRETS.find(text) if span.rule == "private-key"]
    assert text[span.start : span.end] == written


@pytest.mark.parametrize("written", KEYS.values(), ids=KEYS)
def test_a_private_key_that_grows_is_open_from_its_begin_to_its_end(written: str) -> None:
    begin, end = written.index("-----BEGIN") + 10, len(written)
    assert {SECRETS.settled(written[:place]) for place in range(begin, end)} == {0}
    assert SECRETS.settled(f"{written} bye now then") > 0


@pytest.mark.parametrize(
    "text",
    [
        f"-----BEGIN PUBLIC KEY-----\n{LINE}\n{LINE}\n-----END PUBLIC KEY-----",
        f"-----BEGIN CERTIFICATE-----\n{LINE}\n{LINE}\n-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----\n<your private key, in base64>\n-----END PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\\n...\\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nNote: this line is no key, and so nothing of it is secret.",
    ],
)
def test_what_holds_no_private_key_stays(text: str) -> None:
    assert SECRETS.find(text) == []
    assert SECRETS.settled(f"{text}\nbye now then") > 0


def test_a_sentence_behind_a_key_that_is_cut_off_stays() -> None:
    text = f"-----BEGIN PRIVATE KEY-----\n{LINE}\n{LINE}. That is all I have."
    (span,) = SECRETS.find(text)
    assert text[span.end :] == ". That is all I have."
