import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.context_assembly.adapters import records
from services.shared.conversation import (
    Approval,
    Audio,
    Call,
    CallOutcome,
    CallResult,
    Compaction,
    File,
    Item,
    Message,
    Part,
    Phase,
    Picture,
    Reasoning,
    Refusal,
    Role,
    RunBy,
    Text,
)

_text = st.text(st.characters(codec="utf-8"))
_bytes = st.binary()
_part: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, _text),
    st.builds(Picture, _text, _bytes, _text, _text, _text),
    st.builds(File, _text, _text, _bytes, _text, _text),
    st.builds(Audio, _text, _bytes),
    st.builds(Refusal, _text),
)
_parts = st.lists(_part, max_size=4).map(tuple)
_outcome = st.none() | st.builds(CallOutcome, _parts, st.booleans())
_items: st.SearchStrategy[list[Item]] = st.lists(
    st.one_of(
        st.builds(Message, _text, st.sampled_from(Role), _parts, st.sampled_from(Phase)),
        st.builds(
            Call,
            *(_text, _text, _text, _text, st.sampled_from(RunBy), _text),
            *(st.sampled_from(Approval), _outcome, st.booleans(), st.booleans()),
        ),
        st.builds(CallResult, _text, _text, _parts, st.booleans()),
        st.builds(Reasoning, _text, _text, st.lists(_text).map(tuple), _text),
        st.builds(Compaction, _text, _text, _text),
    )
)

# What 0.2.0 writes for each kind, with every field set.
_WRITTEN: list[tuple[Item, str]] = [
    (
        Message("i", Role.USER, (Text("hé"), Refusal("no")), Phase.COMMENTARY),
        '["message","i","user",[["text","hé"],["refusal","no"]],"commentary"]',
    ),
    (
        Message("i", Role.USER, (Picture("image/png", b"\0\xff", "url", "file_1", "low"),)),
        '["message","i","user",[["picture","image/png","AP8=","url","file_1","low"]],""]',
    ),
    (
        Message("i", Role.USER, (File("n", "m", b"\0", "url", "file_1"), Audio("audio/wav", b""))),
        '["message","i","user",[["file","n","m","AA==","url","file_1"],["audio","audio/wav",""]],""]',
    ),
    (
        Call(
            *("i", "c", "n", "{}", RunBy.SERVER, "label", Approval.GRANTED),
            CallOutcome((Text("o"),), failed=True),
            parallel=True,
        ),
        '["call","i","c","n","{}","server","label","granted",[[["text","o"]],true],true]',
    ),
    (
        Call("i", "c", "n", ""),
        '["call","i","c","n","","caller","","not_needed",null,false]',
    ),
    (
        Call("i", "c", "n", "", text_input=True),
        '["call","i","c","n","","caller","","not_needed",null,false,true]',
    ),
    (CallResult("i", "c", (Text("o"),)), '["result","i","c",[["text","o"]]]'),
    (CallResult("i", "c", (Text("o"),), text_input=True), '["result","i","c",[["text","o"]],true]'),
    (Reasoning("i", "hm", ("a", "b"), "x"), '["reasoning","i","hm",["a","b"],"x"]'),
    (Compaction("i", "so far", "x"), '["compaction","i","so far","x"]'),
]


@settings(derandomize=True, deadline=None)
@given(_items)
def test_items_come_back_as_they_were(items: list[Item]) -> None:
    assert records.items_in(records.items_out(items)) == items


@pytest.mark.parametrize(("item", "row"), _WRITTEN)
def test_the_format_stays_as_it_is_written(item: Item, row: str) -> None:
    assert records.items_out([item]) == f"[{row}]"
    assert records.items_in(f"[{row}]") == [item]


def test_rows_without_the_newest_field_are_read() -> None:
    row = '[["message","i","user",[["text","hé"]]],["reasoning","i","hm",[],""]]'
    assert records.items_in(row) == [
        Message("i", Role.USER, (Text("hé"),)),
        Reasoning("i", "hm"),
    ]


def test_an_outcome_without_parts_is_none_the_less_one() -> None:
    call = Call("i", "c", "n", "{}", RunBy.MESH, outcome=CallOutcome(()))
    assert records.items_in(records.items_out([call])) == [call]


@settings(derandomize=True, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1)))
def test_token_ids_take_four_bytes_and_come_back(ids: list[int]) -> None:
    packed = records.token_ids_out(ids)
    assert len(packed) == 4 * len(ids)
    assert records.token_ids_in(packed) == ids


def test_token_ids_are_written_lowest_byte_first_on_every_machine() -> None:
    assert records.token_ids_out([1, 0x01020304]) == b"\x01\0\0\0\x04\x03\x02\x01"


def test_an_id_of_more_than_four_bytes_is_not_cut() -> None:
    with pytest.raises(OverflowError):
        records.token_ids_out([2**32])


def test_names_come_back() -> None:
    assert records.names_in(records.names_out(("mem_ü", "mem_1"))) == ["mem_ü", "mem_1"]
