from pathlib import Path

import pytest

from services.gateway import keys
from services.gateway.api import InvalidKey
from services.gateway.wiring import pepper


def test_a_key_is_read_as_it_was_written() -> None:
    key = keys.mint()
    assert keys.parse(str(key)) == key


def test_keys_differ() -> None:
    assert len({str(keys.mint()) for _ in range(100)}) == 100


@pytest.mark.parametrize("place", range(0, 70, 3))
def test_a_mistyped_key_is_told_from_a_valid_one_without_a_store(place: int) -> None:
    text = str(keys.mint())
    place %= len(text)
    other = "x" if text[place] != "x" else "y"
    with pytest.raises(InvalidKey):
        keys.parse(text[:place] + other + text[place + 1 :])


def test_a_key_does_not_print_its_secret() -> None:
    key = keys.mint()
    assert key.secret not in repr(key)


def test_the_fingerprint_depends_on_secret_and_pepper() -> None:
    one, other = keys.mint(), keys.mint()
    assert keys.fingerprint(one, b"a") == keys.fingerprint(one, b"a")
    assert keys.fingerprint(one, b"a") != keys.fingerprint(one, b"b")
    assert keys.fingerprint(one, b"a") != keys.fingerprint(other, b"a")


def test_the_pepper_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "pepper"
    made = pepper(file)
    assert len(made) == 32
    assert pepper(file) == made
    assert file.stat().st_mode & 0o777 == 0o600
