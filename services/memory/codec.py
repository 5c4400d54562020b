"""How memory's words look on the wire; pure functions, both directions."""

from collections.abc import Iterable, Sequence

from chatmesh.memory.v1 import memory_pb2 as pb

from services.memory.api import Erasure, Fact, Kind, Match, Recollection, Remembered
from services.shared.codec import known, scope_in, scope_out
from services.shared.errors import Malformed
from services.shared.scope import Scope

_KINDS: dict["pb.Kind.ValueType", Kind | None] = {
    pb.KIND_UNSPECIFIED: None,
    pb.KIND_FACT: Kind.FACT,
    pb.KIND_PREFERENCE: Kind.PREFERENCE,
}
_KINDS_OUT = {ours: theirs for theirs, ours in _KINDS.items()}
_GIVEN: dict["pb.Kind.ValueType", Kind] = {
    theirs: ours for theirs, ours in _KINDS.items() if ours is not None
}


# Larger numbers no store can hold.
_MAX_NUMBER = 2**63 - 1


def fact_in(fact: pb.Fact) -> Fact:
    return Fact(
        id=fact.id,
        text=fact.text,
        kind=known(_GIVEN, fact.kind, "fact.kind"),
        created_at_ms=fact.created_at_ms,
        updated_at_ms=fact.updated_at_ms,
    )


def fact_out(fact: Fact) -> pb.Fact:
    return pb.Fact(
        id=fact.id,
        text=fact.text,
        kind=_KINDS_OUT[fact.kind],
        created_at_ms=fact.created_at_ms,
        updated_at_ms=fact.updated_at_ms,
    )


def remember_in(request: pb.RememberRequest) -> tuple[Scope, str, Kind | None]:
    return scope_in(request.scope), request.text, known(_KINDS, request.kind, "kind")


def remember_out(scope: Scope, text: str, kind: Kind | None) -> pb.RememberRequest:
    return pb.RememberRequest(scope=scope_out(scope), text=text, kind=_KINDS_OUT[kind])


def remembered_in(response: pb.RememberResponse) -> Remembered:
    return Remembered(fact_in(response.fact), response.replaced)


def remembered_out(remembered: Remembered) -> pb.RememberResponse:
    return pb.RememberResponse(fact=fact_out(remembered.fact), replaced=remembered.replaced)


def update_in(request: pb.UpdateRequest) -> tuple[Scope, str, str]:
    return scope_in(request.scope), request.id, request.text


def update_out(scope: Scope, fact_id: str, text: str) -> pb.UpdateRequest:
    return pb.UpdateRequest(scope=scope_out(scope), id=fact_id, text=text)


def updated_out(fact: Fact) -> pb.UpdateResponse:
    return pb.UpdateResponse(fact=fact_out(fact))


def forget_out(scope: Scope, fact_id: str, query: str) -> pb.ForgetRequest:
    if fact_id:
        return pb.ForgetRequest(scope=scope_out(scope), id=fact_id)
    return pb.ForgetRequest(scope=scope_out(scope), query=query)


def forgotten_out(facts: Iterable[Fact]) -> pb.ForgetResponse:
    return pb.ForgetResponse(forgotten=map(fact_out, facts))


def facts_in(facts: Iterable[pb.Fact]) -> Sequence[Fact]:
    return tuple(map(fact_in, facts))


def listed_out(facts: Iterable[Fact]) -> pb.ListResponse:
    return pb.ListResponse(facts=map(fact_out, facts))


def search_in(request: pb.SearchRequest) -> tuple[Scope, str, int]:
    return scope_in(request.scope), request.query, request.limit


def search_out(scope: Scope, query: str, limit: int) -> pb.SearchRequest:
    return pb.SearchRequest(scope=scope_out(scope), query=query, limit=limit)


def matches_in(response: pb.SearchResponse) -> Sequence[Match]:
    return tuple(Match(fact_in(match.fact), match.score) for match in response.matches)


def matches_out(matches: Iterable[Match]) -> pb.SearchResponse:
    return pb.SearchResponse(
        matches=[pb.Match(fact=fact_out(match.fact), score=match.score) for match in matches]
    )


def recall_out(scope: Scope, query: str, fact_ids: Iterable[str]) -> pb.RecallRequest:
    return pb.RecallRequest(scope=scope_out(scope), query=query, ids=fact_ids)


def recollection_in(response: pb.RecallResponse) -> Recollection:
    return Recollection(
        preferences=facts_in(response.preferences),
        named=facts_in(response.named),
        found=facts_in(response.found),
    )


def recollection_out(recollection: Recollection) -> pb.RecallResponse:
    return pb.RecallResponse(
        preferences=map(fact_out, recollection.preferences),
        named=map(fact_out, recollection.named),
        found=map(fact_out, recollection.found),
    )


def watch_erased_in(request: pb.WatchErasedRequest) -> int:
    if request.after > _MAX_NUMBER:
        raise Malformed(f"after is more than {_MAX_NUMBER}", param="after")
    return request.after


def erasure_in(response: pb.WatchErasedResponse) -> Erasure:
    return Erasure(response.number, scope_in(response.scope), tuple(response.fact_ids))


def erasure_out(erasure: Erasure) -> pb.WatchErasedResponse:
    return pb.WatchErasedResponse(
        number=erasure.number, scope=scope_out(erasure.scope), fact_ids=erasure.fact_ids
    )
