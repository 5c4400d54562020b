from services.context_assembly.adapters.reach import characters, unread
from services.context_assembly.api import Reasoning
from tests.fakes.context_assembly import call, recorded, result, user


def test_a_turn_counts_all_that_a_model_may_read() -> None:
    turn = recorded("a", said=[user("12345"), result("f", "123")], answered=[call("c", "1")])
    assert characters(turn) == 5 + 3 + len("look_up" + "{}" + "1")
    assert characters(recorded("a", answered=[Reasoning("r", "12")])) == len("question a") + 2


def test_the_limit_moves_a_quarter_of_itself_at_a_time() -> None:
    assert [unread(total, 100) for total in (0, 100, 124, 125, 149, 150, 1000)] == [
        *(0, 0, 0),
        *(25, 25, 50, 900),
    ]
