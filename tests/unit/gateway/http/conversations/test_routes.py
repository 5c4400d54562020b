"""`/v1/conversations` on a real socket, with OpenAI's own client where that is the judge."""

import asyncio
from base64 import b64encode
from typing import Any

import httpx
import pytest

from services.gateway.api import Ask
from services.gateway.conversations import ConversationKeeper
from services.gateway.lanes import Lanes
from services.gateway.ports import Account, AccountKind, Neighbours
from services.shared.conversation import Role, said
from services.shared.ids import first_turn_of, make_conversation_id, make_response_id
from tests.fakes.mesh import says
from tests.unit.gateway.http.conftest import OpenSite, Site

USER = {"role": "user", "content": "hi"}
ALL = "/v1/conversations"


def one(conversation_id: str) -> str:
    return f"{ALL}/{conversation_id}"


async def created(site: Site, *texts: str) -> str:
    items = [{"role": "user", "content": text} for text in texts]
    answer = await site.http.post(ALL, json={"items": items, "metadata": {"topic": "dogs"}})
    assert answer.status_code == 200
    return str(answer.json()["id"])


async def said_in(site: Site, conversation_id: str) -> list[str]:
    listed = await site.http.get(f"{one(conversation_id)}/items?order=asc&limit=100")
    assert listed.status_code == 200
    return [item["content"][0]["text"] for item in listed.json()["data"]]


async def respond(site: Site, text: str, conversation: object, **fields: object) -> httpx.Response:
    body = {"model": "demo", "input": text, "conversation": conversation, **fields}
    return await site.http.post("/v1/responses", json=body)


async def test_openais_client_keeps_conversations_here(site: OpenSite) -> None:
    async with site() as at, at.sdk() as sdk:
        chat = await sdk.conversations.create(
            metadata={"topic": "dogs"}, items=[{"role": "user", "content": "zero"}]
        )
        assert (chat.object, chat.metadata) == ("conversation", {"topic": "dogs"})
        assert await sdk.conversations.retrieve(chat.id) == chat
        changed = await sdk.conversations.update(chat.id, metadata={"topic": "cats"})
        assert changed.metadata == {"topic": "cats"}
        added = await sdk.conversations.items.create(
            chat.id, items=[{"role": "user", "content": str(n)} for n in range(5)]
        )
        assert len(added.data) == 5
        pages = sdk.conversations.items.list(chat.id, limit=2, order="asc")
        listed = [item async for item in pages]
        assert [item.id for item in listed[1:]] == [item.id for item in added.data]
        item_id = str(listed[0].id)
        item = await sdk.conversations.items.retrieve(item_id, conversation_id=chat.id)
        assert item == listed[0]
        left = await sdk.conversations.items.delete(item_id, conversation_id=chat.id)
        assert left.id == chat.id
        gone = await sdk.conversations.delete(chat.id)
        assert (gone.deleted, gone.object) == (True, "conversation.deleted")


async def test_turns_of_a_conversation_follow_each_other(site: OpenSite) -> None:
    async with site(says("one"), says("two")) as at:
        chat = await created(at, "zero")
        first = (await respond(at, "first", chat)).json()
        assert first["conversation"] == {"id": chat}
        assert first["previous_response_id"] is None
        second = (await respond(at, "second", {"id": chat})).json()
        assert await said_in(at, chat) == ["zero", "first", "one", "second", "two"]
        stored = (await at.http.get(f"/v1/responses/{second['id']}")).json()
        assert stored["conversation"] == {"id": chat}
        parents = [assembly.parent_id for assembly in at.mesh.context.assemblies]
        assert parents[1] == first["id"]


async def test_a_response_without_a_conversation_says_so(site: OpenSite) -> None:
    async with site(says("one")) as at:
        answer = await at.http.post("/v1/responses", json={"model": "demo", "input": "hi"})
        assert answer.json()["conversation"] is None


async def test_what_is_not_stored_is_kept_in_its_conversation_alone(site: OpenSite) -> None:
    async with site(says("one")) as at:
        chat = await created(at)
        response = (await respond(at, "first", chat, store=False)).json()
        assert await said_in(at, chat) == ["first", "one"]
        got = await at.http.get(f"/v1/responses/{response['id']}")
        assert got.status_code == 404
        assert (await at.http.delete(f"/v1/responses/{response['id']}")).status_code == 404
        assert await said_in(at, chat) == ["first", "one"]


async def test_the_turns_of_items_are_no_responses(site: OpenSite) -> None:
    async with site() as at:
        chat = await created(at, "zero")
        first = chat.replace("conv_", "resp_")
        for asked in (at.http.get, at.http.delete):
            assert (await asked(f"/v1/responses/{first}")).status_code == 404
        assert await said_in(at, chat) == ["zero"]


async def test_a_conversation_goes_on_without_a_response_that_was_erased(site: OpenSite) -> None:
    async with site(says("one"), says("two"), says("three")) as at:
        chat = await created(at, "zero")
        responses = [(await respond(at, text, chat)).json() for text in ("first", "second")]
        for response in reversed(responses):
            gone = await at.http.delete(f"/v1/responses/{response['id']}")
            assert gone.status_code == 200
        assert await said_in(at, chat) == ["zero"]
        assert (await respond(at, "third", chat)).status_code == 200
        assert await said_in(at, chat) == ["zero", "third", "three"]


async def test_an_item_that_was_erased_is_read_by_nobody(site: OpenSite) -> None:
    async with site(says("one")) as at:
        chat = await created(at, "zero", "canary")
        await respond(at, "first", chat)
        listed = (await at.http.get(f"{one(chat)}/items?order=asc")).json()["data"]
        item_id = listed[1]["id"]
        assert (await at.http.delete(f"{one(chat)}/items/{item_id}")).json()["id"] == chat
        assert await said_in(at, chat) == ["zero", "first", "one"]
        for asked in (at.http.get, at.http.delete):
            assert (await asked(f"{one(chat)}/items/{item_id}")).status_code == 404


async def test_nothing_is_left_of_a_deleted_conversation(site: OpenSite) -> None:
    async with site(says("one")) as at:
        chat = await created(at, "zero")
        response = (await respond(at, "first", chat)).json()["id"]
        assert (await at.http.delete(one(chat))).json() == {
            "id": chat,
            "object": "conversation.deleted",
            "deleted": True,
        }
        gone = [
            at.http.get(one(chat)),
            at.http.delete(one(chat)),
            at.http.post(one(chat), json={"metadata": {}}),
            at.http.get(f"{one(chat)}/items"),
            at.http.post(f"{one(chat)}/items", json={"items": [USER]}),
            at.http.get(f"/v1/responses/{response}"),
            respond(at, "again", chat),
        ]
        for asked in gone:
            assert (await asked).status_code == 404


async def test_a_turn_under_way_in_a_deleted_conversation_is_not_kept(site: OpenSite) -> None:
    script = says("one", "two")
    script.pause_before = 1
    async with site(script) as at, asyncio.timeout(10):
        chat = await created(at)
        answering = asyncio.create_task(respond(at, "first", chat))
        await script.paused.wait()
        assert (await at.http.delete(one(chat))).status_code == 200
        script.go_on.set()
        answer = await answering
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        assert not at.mesh.context.recorded


async def test_the_second_of_two_turns_waits_for_the_first(site: OpenSite) -> None:
    script = says("one", "!")
    script.pause_before = 1
    async with site(script, says("two")) as at, asyncio.timeout(10):
        chat = await created(at)
        first = asyncio.create_task(respond(at, "first", chat))
        await script.paused.wait()
        second = asyncio.create_task(respond(at, "second", chat))
        items = asyncio.create_task(
            at.http.post(f"{one(chat)}/items", json={"items": [{**USER, "content": "third"}]})
        )
        refused = await respond(at, "no", {"id": chat, "when_busy": "refuse"})
        assert refused.status_code == 409
        assert refused.json()["error"]["code"] == "conversation_busy"
        assert refused.headers["x-should-retry"] == "false"
        script.go_on.set()
        for asked in (first, second, items):
            assert (await asked).status_code == 200
        said = await said_in(at, chat)
        assert said[:2] == ["first", "one!"]
        assert sorted(said[2:]) == ["second", "third", "two"]
        again = await respond(at, "x", {"id": make_conversation_id(), "when_busy": "refuse"})
        assert again.status_code == 404


async def test_a_follow_up_is_not_refused_when_the_turn_is_complete(site: OpenSite) -> None:
    async with site(*(says("so") for _ in range(20))) as at:
        chat = await created(at)
        for number in range(20):
            answer = await respond(at, str(number), {"id": chat, "when_busy": "refuse"})
            assert answer.status_code == 200


async def test_a_reply_that_comes_too_late_is_kept_beside_the_conversation(
    site: OpenSite,
) -> None:
    script = says("one", "!")
    script.pause_before = 1
    async with site(script) as at, asyncio.timeout(10):
        chat = await created(at)
        first = asyncio.create_task(respond(at, "first", chat))
        await script.paused.wait()
        await other_gateway_adds(at, chat)
        script.go_on.set()
        answer = await first
        assert answer.status_code == 409
        assert answer.json()["error"]["code"] == "conversation_busy"
        assert await said_in(at, chat) == ["theirs"]
        (beside,) = [turn for turn in at.mesh.context.recorded if turn.document]
        got = (await at.http.get(f"/v1/responses/{beside.id}")).json()
        assert got["output"][0]["content"][0]["text"] == "one!"


async def other_gateway_adds(at: Site, chat: str) -> None:
    """A gateway beside this one, on the same store."""
    mesh = at.mesh
    principal = await mesh.authenticator.authenticate(mesh.key)
    neighbours = Neighbours(mesh.moderation, mesh.context, mesh.inference, mesh.tools)
    keeper = ConversationKeeper(neighbours, Lanes(mesh.context))
    theirs = Ask(model="", input=(said("", Role.USER, "theirs"),))
    await keeper.add(principal, chat, theirs, make_response_id(first_turn_of(chat)))


async def test_added_items_are_moderated(site: OpenSite) -> None:
    async with site() as at:
        bad = {"items": [{**USER, "content": "a forbidden word"}]}
        chat = await created(at)
        for path in (ALL, f"{one(chat)}/items"):
            answer = await at.http.post(path, json=bad)
            assert answer.status_code == 400
            assert answer.json()["error"]["code"] == "content_policy_violation"
        assert await said_in(at, chat) == []


async def test_sealed_reasoning_of_added_items_is_read_by_the_model(site: OpenSite) -> None:
    """Its summary is the caller's to change."""
    async with site(says("4", reasoning="2+2 is 4")) as at:
        body = {"model": "demo", "input": "2+2?", "include": ["reasoning.encrypted_content"]}
        thought = (await at.http.post("/v1/responses", json=body)).json()["output"][0]
        thought["summary"] = [{"type": "summary_text", "text": "2+2 is 5"}]
        chat = await created(at)
        added = await at.http.post(f"{one(chat)}/items", json={"items": [thought]})
        assert added.status_code == 200
        scope = Account("acct_1", "Ada", AccountKind.PERSONAL).scope("")
        ident = added.json()["data"][0]["id"]
        item: Any = await at.mesh.front.conversations.item(scope, chat, ident)
        assert item.text == "2+2 is 4"


def file_of(text: str) -> dict[str, Any]:
    content = b64encode(text.encode()).decode()
    part = {
        "type": "input_file",
        "filename": "a.txt",
        "file_data": f"data:text/plain;base64,{content}",
    }
    return {"role": "user", "content": [part]}


async def test_text_files_of_added_items_are_read(site: OpenSite) -> None:
    async with site() as at:
        chat = await created(at)
        path = f"{one(chat)}/items"
        added = await at.http.post(path, json={"items": [file_of("The tower is high.")]})
        assert "The tower is high." in added.json()["data"][0]["content"][0]["text"]
        body = {"items": [USER, file_of("a forbidden word")]}
        for refused in (await at.http.post(path, json=body), await at.http.post(ALL, json=body)):
            assert refused.json()["error"]["code"] == "content_policy_violation"


async def test_conversations_are_listed_page_by_page(site: OpenSite) -> None:
    async with site() as at:
        chats = [await created(at) for _ in range(5)]
        first = (await at.http.get(f"{ALL}?limit=3&order=asc")).json()
        assert (first["object"], first["has_more"]) == ("list", True)
        rest = (await at.http.get(f"{ALL}?limit=3&order=asc&after={first['last_id']}")).json()
        assert rest["has_more"] is False
        assert {each["id"] for each in (*first["data"], *rest["data"])} == set(chats)
        newest = (await at.http.get(ALL)).json()
        listed = [*first["data"], *rest["data"]]
        assert [each["id"] for each in newest["data"]] == [each["id"] for each in listed[::-1]]


async def test_an_empty_list_has_ids_that_are_strings(site: OpenSite) -> None:
    async with site() as at:
        empty = {"object": "list", "data": [], "first_id": "", "last_id": "", "has_more": False}
        assert (await at.http.get(ALL)).json() == empty
        chat = await created(at)
        assert (await at.http.get(f"{one(chat)}/items")).json() == empty


async def test_what_is_not_yours_is_not_there(site: OpenSite) -> None:
    async with site() as at:
        chat = await created(at, "zero")
        item_id = (await at.http.get(f"{one(chat)}/items")).json()["data"][0]["id"]
        evil = await at.mesh.authenticator.create_key(
            Account("acct_2", "Eve", AccountKind.PERSONAL)
        )
        stranger = {"authorization": f"Bearer {evil}"}

        async def asked(method: str, path: str, body: Any, **headers: str) -> tuple[int, str]:
            answer = await at.http.request(method, path, json=body, headers=headers)
            return answer.status_code, answer.text

        for method, rest, body in (
            ("GET", "", None),
            ("POST", "", {"metadata": {}}),
            ("DELETE", "", None),
            ("GET", "/items", None),
            ("POST", "/items", {"items": [USER]}),
            ("GET", f"/items/{item_id}", None),
            ("DELETE", f"/items/{item_id}", None),
        ):
            theirs = await asked(method, f"{one(chat)}{rest}", body, **stranger)
            unknown = await asked(method, f"{one(make_conversation_id())}{rest}", body)
            malformed = await asked(method, f"{one('conv_1')}{rest}", body)
            assert theirs == unknown == malformed
            assert theirs[0] == 404
        assert await asked("GET", f"{ALL}?after={chat}", None, **stranger) == await asked(
            "GET", f"{ALL}?after={make_conversation_id()}", None
        )
        assert (await asked("GET", ALL, None, **stranger))[1].count("conv_") == 0
        respond_body = {"model": "demo", "input": "hi", "conversation": chat}
        theirs = await asked("POST", "/v1/responses", respond_body, **stranger)
        unknown = await asked(
            "POST", "/v1/responses", {**respond_body, "conversation": make_conversation_id()}
        )
        assert theirs == unknown
        assert theirs[0] == 404
        assert await said_in(at, chat) == ["zero"]


CREATE = ("POST", "")
UPDATE, ADD = ("POST", "/{chat}"), ("POST", "/{chat}/items")
LIST, ITEMS = ("GET", ""), ("GET", "/{chat}/items")
LONG = {"k" * 65: "v"}
SEALED = {"type": "reasoning", "summary": [], "encrypted_content": "CANARY"}
NO_OBJECTS: list[Any] = [[], "CANARY", 7]
WRONG: list[tuple[tuple[str, str], Any, str | None, str | None]] = [
    *((route, body, None, None) for route in (CREATE, UPDATE, ADD) for body in NO_OBJECTS),
    (CREATE, {"items": "CANARY"}, None, "items"),
    (CREATE, {"items": [7]}, None, "items[0]"),
    (CREATE, {"items": [{"type": "CANARY"}]}, None, "items[0]"),
    (CREATE, {"items": [{"role": "user"}]}, None, "items[0].content"),
    (CREATE, {"items": [USER] * 21}, None, "items"),
    (CREATE, {"items": [{"type": "compaction_trigger"}]}, None, "items"),
    (
        CREATE,
        {"items": [USER, {"type": "compaction", "encrypted_content": "CANARY"}]},
        None,
        "items[1].encrypted_content",
    ),
    *(
        (route, {"items": [before, SEALED]}, None, "items[1].encrypted_content")
        for before in (USER, {"type": "mcp_list_tools"})
        for route in (CREATE, ADD)
    ),
    (CREATE, {"items": [{"type": "item_reference", "id": "CANARY"}]}, None, "items[0]"),
    (CREATE, {"metadata": "CANARY"}, None, "metadata"),
    (CREATE, {"metadata": {"a": 7}}, None, "metadata.a"),
    (CREATE, {"metadata": LONG}, None, "metadata"),
    (CREATE, {"metadata": {"k": "v" * 513}}, None, "metadata"),
    (CREATE, {"metadata": {str(n): "" for n in range(17)}}, None, "metadata"),
    (UPDATE, {}, None, "metadata"),
    (UPDATE, {"metadata": 7}, None, "metadata"),
    (UPDATE, {"metadata": LONG}, None, "metadata"),
    (ADD, {}, None, "items"),
    (ADD, {"items": None}, None, "items"),
    (ADD, {"items": []}, None, "items"),
    (ADD, {"items": "CANARY"}, None, "items"),
    (ADD, {"items": [USER] * 21}, None, "items"),
    (ADD, {"items": [{"type": "mcp_list_tools"}]}, None, "items"),
    (ADD, {"items": [{"type": "compaction", "encrypted_content": "x"}]}, None, None),
    *((route, None, f"limit={n}", "limit") for route in (LIST, ITEMS) for n in (0, 101, -1, "x")),
    *((route, None, "order=CANARY", "order") for route in (LIST, ITEMS)),
    *((route, None, "after=CANARY", "after") for route in (LIST, ITEMS)),
]


@pytest.mark.parametrize(("route", "body", "query", "param"), WRONG)
async def test_what_is_wrong_is_named_and_not_repeated(
    site: OpenSite, route: tuple[str, str], body: Any, query: str | None, param: str | None
) -> None:
    async with site() as at:
        chat = await created(at, "zero")
        method, rest = route
        path = f"{ALL}{rest.format(chat=chat)}" + (f"?{query}" if query else "")
        answer = await at.http.request(method, path, json=body)
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert error["type"] == "invalid_request_error"
        if param:
            assert error["param"] == param
        assert "CANARY" not in answer.text
        assert await said_in(at, chat) == ["zero"]


@pytest.mark.parametrize("body", [None, {}, {"items": None, "metadata": None}])
async def test_a_conversation_may_begin_with_nothing(site: OpenSite, body: Any) -> None:
    async with site() as at:
        sent = {"content": b"", "headers": {"content-type": "application/json"}}
        answer = await at.http.post(ALL, **(sent if body is None else {"json": body}))
        assert answer.status_code == 200
        assert answer.json()["metadata"] == {}
        cleared = await at.http.post(one(answer.json()["id"]), json={"metadata": None})
        assert cleared.json()["metadata"] == {}


async def test_a_conversation_and_a_previous_response_are_not_both_continued(
    site: OpenSite,
) -> None:
    async with site(says("one")) as at:
        chat = await created(at)
        response = (await respond(at, "first", chat)).json()["id"]
        answer = await respond(at, "x", chat, previous_response_id=response)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "previous_response_id"
