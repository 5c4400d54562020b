from hypothesis import given, settings
from hypothesis import strategies as st

from services.context_assembly.adapters import records
from services.context_assembly.api import Call, CallResult, Item, Reasoning, Text
from services.shared.chat import Role

_text = st.text(st.characters(codec="utf-8"))
_items: st.SearchStrategy[list[Item]] = st.lists(
    st.one_of(
        st.builds(Text, _text, st.sampled_from(Role), _text),
        st.builds(
            Call,
            id=_text,
            call_id=_text,
            name=_text,
            arguments=_text,
            own=st.booleans(),
            output=_text,
            failed=st.booleans(),
            parallel=st.booleans(),
        ),
        st.builds(CallResult, _text, _text, _text),
        st.builds(Reasoning, _text, _text),
    )
)


@settings(derandomize=True, deadline=None)
@given(_items)
def test_items_come_back_as_they_were(items: list[Item]) -> None:
    assert records.items_in(records.items_out(items)) == items


def test_rows_of_an_older_release_are_read() -> None:
    row = '[["call","fc_1","call_1","clock","{}",true,"noon"]]'
    assert records.items_in(row) == [Call("fc_1", "call_1", "clock", "{}", own=True, output="noon")]


def test_the_format_stays_as_it_is_written() -> None:
    items: list[Item] = [
        Text("i", Role.USER, "hé"),
        Call("i", "c", "n", "{}", own=True, output="o", failed=True, parallel=True),
        CallResult("i", "c", "o"),
        Reasoning("i", "hm"),
    ]
    assert records.items_out(items) == (
        '[["text","i","user","hé"],["call","i","c","n","{}",true,"o",true,true],'
        '["result","i","c","o"],["reasoning","i","hm"]]'
    )
