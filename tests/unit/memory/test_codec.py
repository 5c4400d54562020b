import pytest
from chatmesh.memory.v1 import memory_pb2 as pb
from chatmesh.shared.v1 import shared_pb2

from services.memory import codec
from services.memory.api import Erasure, Fact, Kind, Recollection, Remembered
from services.shared.errors import Malformed, OlderRelease
from services.shared.scope import Scope

ANN = Scope("acme", "main", "ann")
FACT = Fact("mem_1", "my dog is called Rex", Kind.FACT, 1, 2)
WISH = Fact("mem_2", "always answer in French", Kind.PREFERENCE, 3, 2**40)


def test_what_goes_out_comes_back() -> None:
    for fact in (FACT, WISH):
        assert codec.fact_in(codec.fact_out(fact)) == fact
    for kind in (None, *Kind):
        assert codec.remember_in(codec.remember_out(ANN, "tea", kind)) == (ANN, "tea", kind)
    remembered = Remembered(FACT, "my dog is called Max")
    assert codec.remembered_in(codec.remembered_out(remembered)) == remembered
    erasure = Erasure(2**40, ANN, ("mem_1", "mem_2"))
    assert codec.erasure_in(codec.erasure_out(erasure)) == erasure
    recollection = Recollection((WISH,), (FACT,), (FACT, WISH))
    assert codec.recollection_in(codec.recollection_out(recollection)) == recollection


def test_a_kind_of_a_newer_caller_is_malformed() -> None:
    request = codec.remember_out(ANN, "tea", None)
    request.kind = 7  # type: ignore[assignment]
    with pytest.raises(Malformed, match="kind"):
        codec.remember_in(request)
    with pytest.raises(Malformed, match=r"fact\.kind"):
        codec.fact_in(pb.Fact(id="mem_1"))


def test_a_scope_without_an_organisation_is_malformed() -> None:
    scope = shared_pb2.Scope(project="main", person="ann")
    with pytest.raises(Malformed, match=r"scope\.organisation"):
        codec.search_in(pb.SearchRequest(scope=scope, query="tea", limit=1))


def test_a_scope_of_release_0_1_0_is_refused() -> None:
    # Its fields 1 and 2, tenant and user: "acme" and "ann".
    scope = shared_pb2.Scope.FromString(b"\x0a\x04acme\x12\x03ann")
    with pytest.raises(OlderRelease, match=r"upgrade it to 0\.2\.0"):
        codec.search_in(pb.SearchRequest(scope=scope, query="tea", limit=1))


def test_a_number_that_no_erasure_can_have_is_malformed() -> None:
    assert codec.watch_erased_in(pb.WatchErasedRequest(after=2**63 - 1)) == 2**63 - 1
    with pytest.raises(Malformed, match="after"):
        codec.watch_erased_in(pb.WatchErasedRequest(after=2**63))
