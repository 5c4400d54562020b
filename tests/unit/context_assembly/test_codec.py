import pytest
from chatmesh.context_assembly.v1 import context_assembly_pb2 as pb
from chatmesh.shared.v1 import shared_pb2

from services.context_assembly import codec
from services.shared.errors import Malformed


def test_an_item_of_a_newer_kind_is_refused() -> None:
    with pytest.raises(Malformed) as caught:
        codec.item_in(pb.Item(id="i1"))
    assert caught.value.details == {"param": "input"}


def test_a_text_of_nobody_is_refused() -> None:
    with pytest.raises(Malformed):
        codec.item_in(pb.Item(id="i1", text=pb.TextItem(text="hi")))


def test_a_scope_without_a_tenant_is_refused() -> None:
    scope = shared_pb2.Scope(user="ann")
    for read in (
        lambda: codec.assembly_in(pb.AssembleRequest(scope=scope)),
        lambda: codec.turn_in(pb.Turn(id="a", scope=scope)),
        lambda: codec.get_request_in(pb.GetTurnRequest(scope=scope, id="a")),
        lambda: codec.delete_request_in(pb.DeleteTurnRequest(scope=scope, id="a")),
    ):
        with pytest.raises(Malformed):
            read()
