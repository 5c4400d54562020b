import pytest
from chatmesh.memory.v1 import memory_pb2 as pb
from chatmesh.shared.v1 import shared_pb2

from services.memory import codec
from services.memory.api import Fact, Kind, Recollection, Remembered
from services.shared.chat import Scope
from services.shared.errors import Malformed

ANN = Scope("acme", "ann")
FACT = Fact("mem_1", "my dog is called Rex", Kind.FACT, 1, 2)
WISH = Fact("mem_2", "always answer in French", Kind.PREFERENCE, 3, 2**40)


def test_what_goes_out_comes_back() -> None:
    for fact in (FACT, WISH):
        assert codec.fact_in(codec.fact_out(fact)) == fact
    for kind in (None, *Kind):
        assert codec.remember_in(codec.remember_out(ANN, "tea", kind)) == (ANN, "tea", kind)
    remembered = Remembered(FACT, "my dog is called Max")
    assert codec.remembered_in(codec.remembered_out(remembered)) == remembered
    recollection = Recollection((WISH,), (FACT,), (FACT, WISH))
    assert codec.recollection_in(codec.recollection_out(recollection)) == recollection


def test_a_kind_of_a_newer_caller_is_malformed() -> None:
    request = codec.remember_out(ANN, "tea", None)
    request.kind = 7  # type: ignore[assignment]
    with pytest.raises(Malformed, match="kind"):
        codec.remember_in(request)
    with pytest.raises(Malformed, match=r"fact\.kind"):
        codec.fact_in(pb.Fact(id="mem_1"))


def test_a_scope_without_a_tenant_is_malformed() -> None:
    request = pb.SearchRequest(scope=shared_pb2.Scope(user="ann"), query="tea", limit=1)
    with pytest.raises(Malformed, match=r"scope\.tenant"):
        codec.search_in(request)
