"""Compaction over HTTP: its route, its trigger, its threshold, and what comes back sealed."""

from typing import Any

import pytest
from openai.types.responses import CompactedResponse, ResponseCompactionCompactingEvent

from services.context_assembly.api import SummaryUnavailable
from services.gateway.ports import Account, AccountKind
from services.shared.conversation import Compaction
from services.shared.ids import make_response_id
from tests.fakes.mesh import says
from tests.unit.gateway.http.conftest import OpenSite, Site

USER: Any = {"type": "message", "role": "user", "content": "hello there"}
TRIGGER: Any = {"type": "compaction_trigger"}
COMPACT = "/v1/responses/compact"


async def compacted(site: Site, **fields: object) -> dict[str, Any]:
    answer = await site.http.post(COMPACT, json={"model": "demo", "input": [USER], **fields})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_openais_client_compacts_and_goes_on(site: OpenSite) -> None:
    async with site(says("so")) as at, at.sdk() as sdk:
        compacted = await sdk.responses.compact(model="demo", input=[USER])
        assert isinstance(compacted, CompactedResponse)
        assert compacted.object == "response.compaction"
        assert [item.type for item in compacted.output] == ["message", "compaction"]
        assert (compacted.usage.input_tokens, compacted.usage.output_tokens) == (100, 20)
        given: list[Any] = [
            item.model_dump(exclude_none=True, warnings=False) for item in compacted.output
        ]
        response = await sdk.responses.create(model="demo", input=[*given, USER])
        assert response.output_text == "so"
        read = at.mesh.context.assemblies[-1].input[1]
        assert isinstance(read, Compaction)
        assert read.text == "They spoke of Ulm."


async def test_the_summary_cannot_be_read_in_what_is_sent(site: OpenSite) -> None:
    async with site() as at:
        assert "Ulm" not in str(await compacted(at))


async def test_nothing_of_it_is_stored(site: OpenSite) -> None:
    async with site() as at:
        made = await compacted(at)
        assert (await at.http.get(f"/v1/responses/{made['id']}")).status_code == 404


async def test_a_stored_response_is_compacted(site: OpenSite) -> None:
    async with site(says("so")) as at:
        first = await at.http.post("/v1/responses", json={"model": "demo", "input": "hi"})
        first_id = first.json()["id"]
        made = await compacted(at, input=None, previous_response_id=first_id, stream=True)
        assert made["output"][-1]["type"] == "compaction"
        assert at.mesh.context.compactions[-1].parent_id == first_id


WRONG = [
    ({"model": None}, 400, "model"),
    ({"model": 7}, 400, "model"),
    ({"model": "unknown"}, 404, "model"),
    ({"input": None}, 400, "input"),
    ({"input": []}, 400, "input"),
    ({"input": 7}, 400, "input"),
    ({"input": [{"type": "CANARY"}]}, 400, "input[0]"),
    ({"input": [{"type": "compaction", "encrypted_content": "CANARY"}]}, 400, "input[0]"),
    ({"input": "a forbidden word"}, 400, None),
    ({"previous_response_id": make_response_id("")}, 404, "previous_response_id"),
    ({"instructions": 7}, 400, "instructions"),
]


@pytest.mark.parametrize(("fields", "status", "param"), WRONG)
async def test_what_is_wrong_is_named_and_not_repeated(
    site: OpenSite, fields: dict[str, Any], status: int, param: str | None
) -> None:
    async with site() as at:
        body = {"model": "demo", "input": [USER], **fields}
        answer = await at.http.post(COMPACT, json=body)
        assert answer.status_code == status
        assert "CANARY" not in answer.text
        if param:
            assert answer.json()["error"]["param"].startswith(param)


async def test_a_model_is_wanted(site: OpenSite) -> None:
    async with site() as at:
        answer = await at.http.post(COMPACT, json={"input": "hi"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")


async def test_a_summary_that_cannot_be_had_is_told(site: OpenSite) -> None:
    async with site() as at:
        at.mesh.context.compact_failure = SummaryUnavailable("the model wrote no summary")
        answer = await at.http.post(COMPACT, json={"model": "demo", "input": "hi"})
        assert answer.status_code == 503


async def test_a_seal_of_somebody_else_is_broken(site: OpenSite) -> None:
    async with site() as at:
        item = (await compacted(at))["output"][-1]
        evil = await at.mesh.authenticator.create_key(
            Account("acct_2", "Eve", AccountKind.PERSONAL)
        )
        answer = await at.http.post(
            "/v1/responses",
            json={"model": "demo", "input": [USER, {"type": "mcp_list_tools"}, item]},
            headers={"authorization": f"Bearer {evil}"},
        )
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert error["param"] == "input[2].encrypted_content"
        assert error["code"] == "invalid_encrypted_content"


async def test_a_trigger_streams_one_compaction_item(site: OpenSite) -> None:
    async with site() as at, at.sdk() as sdk:
        stream: Any = await sdk.responses.create(model="demo", input=[USER, TRIGGER], stream=True)
        events = [event async for event in stream]
        assert [event.type for event in events] == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.compaction.compacting",
            "response.output_item.done",
            "response.completed",
        ]
        assert isinstance(events[3], ResponseCompactionCompactingEvent)
        done = events[4].item
        assert done.type == "compaction"
        assert done.encrypted_content
        assert events[-1].response.output == [done]


async def test_a_trigger_stands_last(site: OpenSite) -> None:
    async with site() as at:
        body = {"model": "demo", "input": [TRIGGER, USER]}
        answer = await at.http.post("/v1/responses", json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input")


async def test_a_turn_over_the_threshold_streams_its_compaction_first(site: OpenSite) -> None:
    async with site(says("so")) as at, at.sdk() as sdk:
        stream: Any = await sdk.responses.create(
            model="demo",
            input="one two three",
            stream=True,
            context_management=[{"type": "compaction", "compact_threshold": 2}],
        )
        events = [event async for event in stream]
        kinds = [event.type for event in events]
        assert kinds[2:4] == ["response.output_item.added", "response.output_item.done"]
        assert "response.compaction.compacting" not in kinds
        response = events[-1].response
        assert [item.type for item in response.output] == ["compaction", "message"]
        assert response.usage.input_tokens == 110
        stored = await sdk.responses.retrieve(response.id)
        assert stored.output == response.output
