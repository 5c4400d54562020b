"""Sealed text: what is opened, and what is not."""

import base64

import pytest

from services.gateway.sealing import BrokenSeal, Sealer

SECRET = b"0123456789abcdef0123456789abcdef"
ADA = Sealer(SECRET, "ada")


@pytest.mark.parametrize("text", ["", "We spoke of Ulm.", "zß水🍌\n\0", "x" * 1_000_000])
def test_what_is_sealed_is_opened_again(text: str) -> None:
    assert ADA.open("compaction", ADA.seal("compaction", text)) == text


def test_another_gateway_with_the_same_secret_opens_it() -> None:
    assert Sealer(SECRET, "ada").open("reasoning", ADA.seal("reasoning", "hm")) == "hm"


def test_the_text_does_not_stand_in_its_seal_and_no_two_seals_are_alike() -> None:
    text = "canary" * 20
    first, second = ADA.seal("compaction", text), ADA.seal("compaction", text)
    assert first != second
    assert b"canary" not in base64.urlsafe_b64decode(first + "==")


def test_a_seal_is_of_characters_that_need_no_quoting_anywhere() -> None:
    sealed = ADA.seal("compaction", "zß" * 50)
    assert sealed.isascii()
    assert sealed.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Sealer(SECRET, "bob"), id="another organisation"),
        pytest.param(Sealer(SECRET, ""), id="no organisation"),
        pytest.param(Sealer(SECRET[::-1], "ada"), id="another secret"),
    ],
)
def test_what_others_sealed_is_broken(other: Sealer) -> None:
    with pytest.raises(BrokenSeal):
        ADA.open("compaction", other.seal("compaction", "mine"))


def test_a_seal_of_another_kind_is_broken() -> None:
    with pytest.raises(BrokenSeal):
        ADA.open("reasoning", ADA.seal("compaction", "mine"))


def test_names_that_are_alike_when_joined_are_kept_apart() -> None:
    with pytest.raises(BrokenSeal):
        Sealer(SECRET, "adacom").open("paction", Sealer(SECRET, "ada").seal("compaction", "mine"))


def test_a_seal_of_which_any_byte_was_changed_is_broken() -> None:
    bare = base64.urlsafe_b64decode(ADA.seal("compaction", "Ulm") + "==")
    for place in range(len(bare)):
        changed = bare[:place] + bytes([bare[place] ^ 1]) + bare[place + 1 :]
        with pytest.raises(BrokenSeal):
            ADA.open("compaction", base64.urlsafe_b64encode(changed).decode())


def test_a_seal_that_was_cut_anywhere_is_broken() -> None:
    sealed = ADA.seal("compaction", "Ulm")
    for length in range(len(sealed)):
        with pytest.raises(BrokenSeal):
            ADA.open("compaction", sealed[:length])


@pytest.mark.parametrize("sealed", ["", "A", "AQ", "gAAAAABopaque", "zß", "a b", "+/==", "=" * 9])
def test_what_is_no_seal_at_all_is_broken(sealed: str) -> None:
    with pytest.raises(BrokenSeal):
        ADA.open("compaction", sealed)
