from services.context_assembly.adapters.reach import block, characters, unread
from services.context_assembly.api import Turn
from services.shared.conversation import (
    Audio,
    Compaction,
    File,
    Item,
    Message,
    Part,
    Picture,
    Reasoning,
    Refusal,
    Role,
    Text,
)
from tests.fakes.context_assembly import call, recorded, result, user


def saying(*items: Item) -> Turn:
    return recorded("a", said=items, answered=[user("")])


def test_a_turn_counts_all_that_a_model_may_read() -> None:
    turn = recorded("a", said=[user("12345"), result("f", "123")], answered=[call("c", "1")])
    assert characters(turn) == 5 + 3 + len("look_up" + "{}" + "1")
    assert characters(recorded("a", answered=[Reasoning("r", "12")])) == len("question a") + 2
    assert characters(saying(call("c"))) == len("look_up" + "{}")
    assert characters(saying(Reasoning("r", "12", ("3", "45"), "opaque"))) == 5
    assert characters(saying(Compaction("c", "12", "opaque"))) == 2


def test_a_part_without_text_counts_as_much_as_a_picture_may_take() -> None:
    silent: list[Part] = [
        Picture(content=b"1"),
        File(content=b"1" * 10**6),
        Audio("audio/wav", b""),
    ]
    parts = (Text("12"), Refusal("345"), Text(""), *silent)
    assert characters(saying(Message("m", Role.USER, parts))) == 5 + 3 * 1000


def test_the_limit_moves_a_quarter_of_itself_at_a_time() -> None:
    assert [unread(total, 100) for total in (0, 100, 124, 125, 149, 150, 1000)] == [
        *(0, 0, 0),
        *(25, 25, 50, 900),
    ]
    assert (block(100), block(3), block(0)) == (25, 1, 1)
