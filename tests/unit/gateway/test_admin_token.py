"""Who may administer keys."""

import pytest

from services.gateway.admin_token import AdminToken
from services.gateway.api import NotAdministrator
from services.shared.errors import CannotStart

SECRET = b"s" * 32


@pytest.mark.parametrize("kept", [SECRET, SECRET + b"\n", b" " + SECRET])
def test_the_secret_lets_in_however_an_editor_left_it(kept: bytes) -> None:
    AdminToken(lambda: kept).check(SECRET.decode())


@pytest.mark.parametrize(
    "given",
    ["", " ", "s" * 31, "s" * 33, "S" * 32, "é" * 16, "s" * 100_000],
    ids=["none", "blank", "shorter", "longer", "other case", "other letters", "huge"],
)
def test_nothing_else_does(given: str) -> None:
    with pytest.raises(NotAdministrator):
        AdminToken(lambda: SECRET).check(given)


@pytest.mark.parametrize("kept", [b"", b"\n", b"s" * 31, b" " * 64])
def test_a_secret_that_could_be_guessed_is_refused_at_the_start(kept: bytes) -> None:
    with pytest.raises(CannotStart, match="fewer than 32 bytes"):
        AdminToken(lambda: kept)


def test_another_secret_counts_at_once_and_the_old_one_no_more() -> None:
    kept = [SECRET]
    token = AdminToken(lambda: kept[0])
    kept[0] = b"t" * 32
    token.check("t" * 32)
    with pytest.raises(NotAdministrator):
        token.check(SECRET.decode())


@pytest.mark.parametrize("later", [b"", b"short"])
def test_a_secret_that_has_become_too_short_lets_nobody_in(later: bytes) -> None:
    kept = [SECRET]
    token = AdminToken(lambda: kept[0])
    kept[0] = later
    for given in (SECRET.decode(), later.decode()):
        with pytest.raises(NotAdministrator):
            token.check(given)
