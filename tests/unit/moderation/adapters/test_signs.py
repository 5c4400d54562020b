"""What is looked for in a text, by the signs in it."""

from services.moderation.adapters.signs import Signs

SIGNS = Signs([("keys", [b"key", b"KEY"]), ("dots", [b"."]), ("both", [b"key", b"."])])


def test_forms_come_once_and_in_their_order() -> None:
    assert SIGNS.forms_for(b"a.b key. KEY key") == ["keys", "dots", "both"]
    assert SIGNS.forms_for("é KEY".encode()) == ["keys"]
    assert SIGNS.forms_for(b"nothing") == []
    assert SIGNS.forms_for(b"") == []
