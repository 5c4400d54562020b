"""Private keys in the forms in which people and programs write them; all are made up."""

import pytest

from services.moderation.adapters.secrets import open_secrets

SECRETS = open_secrets()
LINE = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"


def key(kind: str = "RSA PRIVATE KEY", entries: str = "", between: str = "\n") -> str:
    lines = [f"-----BEGIN {kind}-----", *entries.split("\n"), *[LINE] * 4, "xQ9="]
    return between.join([*lines, f"-----END {kind}-----"])


def of_ssh2(between: str) -> str:
    kind = "SSH2 ENCRYPTED PRIVATE KEY"
    lines = (f"---- BEGIN {kind} ----", 'Comment: "rsa-key"', *[LINE] * 3, "xQ9=")
    return between.join([*lines, f"---- END {kind} ----"])


def of_ansible(between: str) -> str:
    line = "3866383561386238343032653133343937386338333034663364"
    return between.join(["$ANSIBLE_VAULT;1.1;AES256", line, line, "3938"])


KEYS = {
    "SSH2": of_ssh2("\n"),
    "SSH2 in JSON": of_ssh2("\\n"),
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
    begin, end = written.index("BEGIN") + 5, len(written)
    assert {SECRETS.settled(written[:place]) for place in range(begin, end)} == {0}
    assert SECRETS.settled(f"{written} bye now then") > 0


PUTTY = f"""PuTTY-User-Key-File-3: ssh-rsa
Encryption: none
Comment: a key
Public-Lines: 1
AAAAB3NzaC1yc2EAAAADAQABAAABgQC7VJTUt9Us8cKjMzEfYyjiWA4R4LIE
Private-Lines: 3
{LINE}
{LINE}
xQ9=
Private-MAC: 0123456789abcdef0123456789abcdef01234567
"""


def test_of_putty_s_the_private_lines_are_found() -> None:
    for text in (PUTTY, PUTTY.replace("\n", "\r\n"), PUTTY.replace("xQ9=\n", "")):
        (span,) = SECRETS.find(f"see:\n{text}")
        before, after = f"see:\n{text}"[: span.start], f"see:\n{text}"[span.end :]
        assert before.rstrip().endswith("Private-Lines: 3")
        assert after.lstrip().startswith("Private-MAC")


def test_of_putty_s_that_grows_the_private_lines_are_open_to_their_end() -> None:
    begin, end = PUTTY.index("Private-Lines"), PUTTY.index("-MAC")
    open_at = {SECRETS.settled(PUTTY[:place]) for place in range(begin + 14, end + 1)}
    assert open_at == {begin}
    assert SECRETS.settled(PUTTY) == len(PUTTY)


@pytest.mark.parametrize("between", ["\n", "\n  ", "\\n"])
def test_a_vault_of_ansible_is_found_whole_and_open_to_its_end(between: str) -> None:
    vault = of_ansible(between)
    text = f"pw: {vault}{between}after it"
    (span,) = SECRETS.find(text)
    assert (span.rule, text[span.start : span.end]) == ("ansible-vault", vault)
    assert {SECRETS.settled(text[:place]) for place in range(19, 4 + len(vault))} == {4}
    assert SECRETS.settled(text) == len(text)


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
