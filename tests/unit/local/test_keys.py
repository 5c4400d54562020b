"""The commands as they are typed: what they print, how they end."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.__main__ import main
from services.local.up import LOCAL

Typed = Callable[..., Result]


@pytest.fixture
def typed(tmp_path: Path) -> Typed:
    def type_in(command: str, *words: str) -> Result:
        asked = ["key", command, f"--data={tmp_path}", *words]
        return CliRunner().invoke(main, asked, catch_exceptions=False)

    return type_in


def key_id(made: Result) -> str:
    assert made.exit_code == 0
    assert made.output.startswith("cm_live_")
    return made.output.split("_")[2]


def test_keys_are_made_listed_and_revoked(typed: Typed) -> None:
    ada, shop = key_id(typed("create", "Ada")), key_id(typed("create", "shop", "--application"))
    shown = typed("list").output.splitlines()
    assert shown[0].split() == "KEY ACCOUNT KIND MADE (UTC) STATE".split()
    rows = [line.split() for line in shown[1:]]
    assert [(*row[:3], row[-1]) for row in rows] == [
        (ada, "Ada", "personal", "valid"),
        (shop, "shop", "application", "valid"),
    ]
    assert typed("revoke", ada).output == f"revoked {ada} of Ada\n"
    assert typed("revoke", "--account", "shop").output == f"revoked {shop} of shop\n"
    assert typed("revoke", "--account", "shop").output == (
        "revoked nothing: shop has no valid key\n"
    )
    assert [line.split()[-1] for line in typed("list").output.splitlines()[1:]] == ["revoked"] * 2


@pytest.mark.parametrize("words", [("create", "ada"), ("create", "Ada", "--application")])
def test_what_is_refused_is_told_in_one_sentence(typed: Typed, words: tuple[str, ...]) -> None:
    typed("create", "Ada")
    ended = typed(*words)
    assert ended.exit_code == 1
    assert ended.output.startswith("Error: ")
    assert ended.output.count("\n") == 1


def test_the_account_of_make_up_is_refused(typed: Typed) -> None:
    assert typed("create", LOCAL.id.removeprefix("acct_")).exit_code == 1


@pytest.mark.parametrize("words", [(), ("abcdefgh", "--account", "ada")])
def test_what_shall_be_revoked_is_named_once(typed: Typed, words: tuple[str, ...]) -> None:
    assert typed("revoke", *words).exit_code == 2


def test_a_pepper_that_is_not_whole_is_told(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "pepper").touch()
    ended = typed("create", "Ada")
    assert (ended.exit_code, "is empty" in ended.output) == (1, True)
