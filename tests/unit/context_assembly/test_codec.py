from collections.abc import Callable

import pytest
from chatmesh.context_assembly.v1 import context_assembly_pb2 as pb
from chatmesh.conversation.v1 import conversation_pb2
from chatmesh.shared.v1 import shared_pb2

from services.context_assembly import codec
from services.context_assembly.api import Context, KeptIds
from services.shared.conversation import Role
from services.shared.errors import Malformed, OlderRelease
from tests.fakes.context_assembly import PICTURE, SEEING, asked, recorded, sent

SCOPE = shared_pb2.Scope(organisation="acme", project="main")


def test_an_item_of_a_newer_kind_is_refused() -> None:
    newer = [conversation_pb2.Item(id="i1")]
    for read in (
        lambda: codec.assembly_in(pb.AssembleRequest(scope=SCOPE, input=newer)),
        lambda: codec.turn_in(pb.Turn(scope=SCOPE, output=newer)),
    ):
        with pytest.raises(Malformed) as caught:
            read()
        assert caught.value.details == {"param": "input"}


def reads(scope: shared_pb2.Scope) -> list[Callable[[], object]]:
    return [
        lambda: codec.assembly_in(pb.AssembleRequest(scope=scope)),
        lambda: codec.turn_in(pb.Turn(id="a", scope=scope)),
        lambda: codec.get_request_in(pb.GetTurnRequest(scope=scope, id="a")),
        lambda: codec.delete_request_in(pb.DeleteTurnRequest(scope=scope, id="a")),
    ]


@pytest.mark.parametrize("name", ["organisation", "project"])
def test_a_scope_without_an_owner_is_refused(name: str) -> None:
    scope = shared_pb2.Scope(organisation="acme", project="main", person="ann")
    scope.ClearField(name)  # type: ignore[arg-type]
    for read in reads(scope):
        with pytest.raises(Malformed):
            read()


def test_a_scope_of_an_older_release_is_refused_with_what_to_do() -> None:
    for read in reads(shared_pb2.Scope.FromString(b"\x0a\x04acme")):
        with pytest.raises(OlderRelease, match=r"upgrade it to 0\.2\.0"):
            read()


@pytest.mark.parametrize(
    ("number", "read"),
    [
        (7, lambda old: codec.assembly_in(pb.AssembleRequest.FromString(old))),
        (8, lambda old: codec.assembly_in(pb.AssembleRequest.FromString(old))),
        (5, lambda old: codec.turn_in(pb.Turn.FromString(old))),
        (6, lambda old: codec.turn_in(pb.Turn.FromString(old))),
    ],
)
def test_items_of_an_older_release_are_refused_with_what_to_do(
    number: int, read: Callable[[bytes], object]
) -> None:
    old = bytes([number << 3 | 2, 0])
    with pytest.raises(OlderRelease, match=r"upgrade it to 0\.2\.0"):
        read(old)


def test_what_a_model_shall_see_arrives() -> None:
    assembly = asked("", input=[sent(Role.USER, "hi", PICTURE)], model=SEEING)
    back = codec.assembly_in(codec.assembly_out(assembly))
    assert (back.model, back.input) == (assembly.model, assembly.input)


def test_a_context_comes_back_whole() -> None:
    context = Context([1, 2], ["m1"], ["m1", "p1"], 7, 1, [PICTURE])
    back = codec.context_in(codec.context_out(context))
    assert list(back.prompt_ids) == [1, 2]
    assert (back.memory_ids, back.fact_ids) == (["m1"], ["m1", "p1"])
    assert (back.erasures_known, back.inherited_ids, back.pictures) == (7, 1, [PICTURE])


@pytest.mark.parametrize(
    "kept", [None, KeptIds("plain", 3, [4, 5], ["m1"], 7), KeptIds("m", 0, [], [])]
)
def test_kept_ids_come_back_whole_and_none_are_none(kept: KeptIds | None) -> None:
    turn = recorded("a", kept_ids=kept)
    assert codec.turn_in(codec.turn_out(turn)) == turn
