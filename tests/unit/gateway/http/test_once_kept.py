"""`Idempotency-Key` where no turn is begun: conversations, their items, and compacting."""

from typing import Any

import httpx

from services.gateway.api import KeyInUse
from services.gateway.http.errors import failure
from tests.fakes.mesh import BOUNDS
from tests.unit.gateway.http.conftest import OpenSite, Site
from tests.unit.gateway.http.conversations.test_routes import ALL, created, one, said_in

HI: dict[str, Any] = {"items": [{"role": "user", "content": "hi"}]}
BAD: dict[str, Any] = {"items": [{"role": "user", "content": "a forbidden word"}]}
CODE = "idempotency_key_reused"


async def post(site: Site, path: str, body: Any, key: str = "k") -> httpx.Response:
    return await site.http.post(path, json=body, headers={"idempotency-key": key})


async def test_a_conversation_is_begun_once(site: OpenSite) -> None:
    async with site() as at:
        first = await post(at, ALL, {**HI, "metadata": {"a": "b"}})
        again = await post(at, ALL, {**HI, "metadata": {"a": "b"}})
        other = await post(at, ALL, {**HI, "metadata": {"a": "b"}}, "k2")
        assert (first.status_code, first.json()) == (200, again.json())
        assert other.json()["id"] != first.json()["id"]
        assert len((await at.http.get(ALL)).json()["data"]) == 2
        assert await said_in(at, first.json()["id"]) == ["hi"]


async def test_items_are_added_once(site: OpenSite) -> None:
    async with site() as at:
        path = f"{one(await created(at))}/items"
        first = await post(at, path, HI)
        again = await post(at, path, HI)
        assert (first.status_code, first.json()) == (200, again.json())
        assert len((await at.http.get(path)).json()["data"]) == 1
        await post(at, path, HI, "k2")
        assert len((await at.http.get(path)).json()["data"]) == 2


async def test_items_of_an_erased_conversation_are_not_under_way(site: OpenSite) -> None:
    async with site() as at:
        chat = await created(at)
        path = f"{one(chat)}/items"
        await post(at, path, HI)
        await at.http.delete(one(chat))
        again = await post(at, path, HI)
        assert (again.status_code, again.json()["error"]["param"]) == (404, "conversation_id")


async def test_a_conversation_that_was_erased_is_begun_anew_at_once(site: OpenSite) -> None:
    async with site() as at:
        first = await post(at, ALL, HI)
        await at.http.delete(one(first.json()["id"]))
        second = await post(at, ALL, HI)
        assert (second.status_code, second.json()["id"] != first.json()["id"]) == (200, True)
        assert (await post(at, ALL, HI)).json() == second.json()
        other = await post(at, ALL, {**HI, "metadata": {"a": "b"}})
        assert (other.status_code, other.json()["error"]["code"]) == (400, CODE)


async def test_compacting_is_done_once(site: OpenSite) -> None:
    """Its answer is kept no longer than the events of a turn."""
    body = {"model": "demo", "input": "We spoke of Ulm."}
    async with site() as at:
        first = await post(at, "/v1/responses/compact", body)
        again = await post(at, "/v1/responses/compact", body)
        assert (first.status_code, first.json()) == (200, again.json())
        assert len(at.mesh.context.compactions) == 1
        at.mesh.clock.now += BOUNDS.kept_seconds + 1
        gone = await post(at, "/v1/responses/compact", body)
        assert (gone.status_code, gone.json()["error"]["code"]) == (410, "events_gone")


async def test_a_key_is_for_one_request(site: OpenSite) -> None:
    async with site() as at:
        chat, other = await created(at), await created(at)
        assert (await post(at, f"{one(chat)}/items", HI)).status_code == 200
        for path, body in (
            (f"{one(chat)}/items", {"items": [*HI["items"], *HI["items"]]}),
            (f"{one(other)}/items", HI),
            (ALL, HI),
        ):
            refused = await post(at, path, body)
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, CODE)
        assert (await said_in(at, chat), await said_in(at, other)) == (["hi"], [])


async def test_what_was_refused_may_be_sent_again(site: OpenSite) -> None:
    async with site() as at:
        path = f"{one(await created(at))}/items"
        for _ in range(2):
            refused = await post(at, path, BAD)
            assert refused.json()["error"]["code"] == "content_policy_violation"
            assert (await post(at, ALL, BAD, "k2")).status_code == 400
        assert (await post(at, path, HI)).status_code == 200


def test_a_key_that_is_in_use_is_to_be_sent_again() -> None:
    told = failure(KeyInUse("under way", retry_after="1")).response()
    assert told.status_code == 409
    assert (told.headers["x-should-retry"], told.headers["retry-after"]) == ("true", "1")
