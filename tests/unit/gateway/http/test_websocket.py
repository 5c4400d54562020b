"""WebSockets: who may open one, what may be said on it, and when it closes."""

import asyncio
import json
from dataclasses import replace

import pytest
from prometheus_client import generate_latest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.gateway.guard import OutputModeration
from tests.fakes.mesh import BOUNDS, Script, says
from tests.unit.gateway.http.conftest import MOST_BYTES, OpenSite
from tests.unit.gateway.http.responses.talking import Caller, calling, text

GOOD = "https://good.example"
LIMIT = "websocket_connection_limit_reached"


def pausing() -> Script:
    return replace(says("one ", "two "), pause_before=1)


async def closed(caller: Caller) -> int | None:
    """Waits until the socket has closed, and says with which code."""
    await asyncio.wait_for(caller.socket.wait_closed(), 5)
    return caller.socket.close_code


@pytest.mark.parametrize("key", ["", "Bearer", "Bearer CANARY", "Basic cm_live_a"])
async def test_nobody_opens_one_without_a_key(site: OpenSite, key: str) -> None:
    async with site() as here:
        with pytest.raises(InvalidStatus) as refused:
            await here.socket(authorization=key)
    response = refused.value.response
    assert response.status_code == 401
    assert json.loads(response.body or b"")["error"]["code"] == "invalid_api_key"
    assert response.headers["x-request-id"].startswith("req_")
    assert b"CANARY" not in (response.body or b"")


async def test_an_upgrade_has_its_id_and_packs_nothing(site: OpenSite) -> None:
    async with site(says("one")) as here:
        key = {"authorization": f"Bearer {here.mesh.key}", "x-client-request-id": "mine"}
        url = here.url.replace("http", "ws", 1) + "/v1/responses/"
        async with connect(url, additional_headers=key, proxy=None) as socket:
            assert socket.response is not None
            headers = socket.response.headers
            assert headers["x-request-id"].startswith("req_")
            assert headers["x-client-request-id"] == "mine"
            assert "sec-websocket-extensions" not in headers
            assert text(await Caller(socket).answer()) == "one"


@pytest.mark.parametrize(
    ("origins", "origin", "opens"),
    [
        (("*",), "https://app.example", True),
        ((GOOD,), GOOD, True),
        ((GOOD,), "https://app.example", False),
        ((GOOD,), "null", False),
        ((GOOD,), "http://here", True),
        ((GOOD,), "http://here.example", False),
        ((), "https://app.example", False),
    ],
)
async def test_a_page_of_another_origin_opens_none(
    site: OpenSite, origins: tuple[str, ...], origin: str, opens: bool
) -> None:
    """`http://here` stands for the address of the mesh itself."""
    async with site(cors_origins=origins) as here:
        origin = here.url if origin == "http://here" else origin
        if opens:
            async with here.socket(origin=origin):
                return
        with pytest.raises(InvalidStatus) as refused:
            await here.socket(origin=origin)
    assert refused.value.response.status_code == 403


async def test_a_key_has_so_many_sockets(site: OpenSite) -> None:
    async with site(says("one")) as here:
        sockets = [await here.socket() for _ in range(4)]
        with pytest.raises(InvalidStatus) as refused:
            await here.socket()
        assert refused.value.response.status_code == 429
        assert refused.value.response.headers["retry-after"] == "1"
        for socket in sockets:
            await socket.close()
        async with calling(here) as caller:
            assert text(await caller.answer()) == "one"


async def test_there_are_no_other_sockets(site: OpenSite) -> None:
    async with site() as here:
        url = here.url.replace("http", "ws", 1)
        for path in ("/v1/chat/completions", "/", "/v1/responses/resp_1"):
            with pytest.raises(InvalidStatus) as refused:
                await connect(url + path, proxy=None)
            assert refused.value.response.status_code in {403, 404}


DEEP = "[" * 5000 + "]" * 5000
CREATE = {"type": "response.create", "model": "demo", "input": "hi"}
STEER = {"type": "response.steer", "previous_response_id": "resp_1", "input": "hi"}
MALFORMED = [
    ("", None),
    ("CANARY", None),
    ("[]", None),
    ("null", None),
    ('"CANARY"', None),
    ("{}", "type"),
    ('{"type": 1}', "type"),
    ('{"type": ["response.create"]}', "type"),
    ('{"type": "CANARY"}', "type"),
    ('{"type": "response.cancel"}', "type"),
    ('{"type": "response.create", "model": NaN}', None),
    ('{"type": "response.create", "model": "\\ud800"}', None),
    (DEEP, None),
    ('{"type": "response.create", "input": ' + "[" * 200 + "]" * 200 + "}", "input"),
    (json.dumps({**CREATE, "model": None}), "model"),
    (json.dumps({**CREATE, "model": "CANARY"}), "model"),
    (json.dumps({"type": "response.create", "model": "demo"}), "input"),
    (json.dumps({**CREATE, "input": []}), "input"),
    (json.dumps({**CREATE, "input": 7}), "input"),
    (json.dumps({**CREATE, "generate": "CANARY"}), "generate"),
    (json.dumps({**CREATE, "temperature": "CANARY"}), "temperature"),
    (json.dumps({**CREATE, "previous_response_id": 7}), "previous_response_id"),
    (json.dumps({**CREATE, "previous_response_id": "CANARY"}), "previous_response_id"),
    (json.dumps({**CREATE, "stream_id": ""}), "stream_id"),
    (json.dumps({**CREATE, "stream_id": 7}), "stream_id"),
    (json.dumps({**CREATE, "stream_id": "a b"}), "stream_id"),
    (json.dumps({**CREATE, "stream_id": "x" * 257}), "stream_id"),
]


@pytest.mark.parametrize(("message", "param"), MALFORMED)
async def test_a_malformed_message_is_told_and_the_socket_lives(
    site: OpenSite, message: str, param: str | None
) -> None:
    async with site(says("one")) as here, calling(here) as caller:
        await caller.say(message)
        told = await caller.next()
        assert told["type"] == "error"
        assert 400 <= told["status"] < 500
        assert set(told["error"]) == {"type", "code", "message", "param"}
        assert told["error"]["param"] == param
        assert "CANARY" not in json.dumps(told)
        assert text(await caller.answer()) == "one"


async def test_bytes_are_no_message(site: OpenSite) -> None:
    async with site(says("one")) as here, calling(here) as caller:
        await caller.socket.send(json.dumps(CREATE).encode())
        assert (await caller.next())["status"] == 400
        assert text(await caller.answer()) == "one"


async def test_what_is_no_text_at_all_closes_the_socket(site: OpenSite) -> None:
    async with site() as here, calling(here) as caller:
        await caller.socket.send(b"\xff", text=True)
        assert await closed(caller) == 1007


@pytest.mark.parametrize("pieces", [1, 10])
async def test_a_message_that_is_too_large_closes_the_socket(site: OpenSite, pieces: int) -> None:
    body = json.dumps({**CREATE, "input": "x" * MOST_BYTES})
    size = len(body) // pieces + 1
    async with site() as here, calling(here) as caller:
        whole = body if pieces == 1 else [body[at : at + size] for at in range(0, len(body), size)]
        with pytest.raises(ConnectionClosed):
            await caller.socket.send(whole)
            await caller.socket.recv()
        assert await closed(caller) == 1009
        assert here.mesh.front.connections.open == 0


async def test_a_socket_that_is_too_old_says_so_and_closes(site: OpenSite) -> None:
    async with site(socket_seconds=0.01) as here, calling(here) as caller:
        told = await caller.next()
        assert (told["status"], told["error"]["code"]) == (400, LIMIT)
        assert await closed(caller) == 1000


async def test_an_old_socket_ends_what_runs_and_begins_nothing(site: OpenSite) -> None:
    script = pausing()
    async with (
        site(script, mode=OutputModeration.OFF, socket_seconds=0.3) as here,
        calling(here) as caller,
    ):
        await caller.create()
        await asyncio.wait_for(script.paused.wait(), 5)
        refused = None
        while refused is None:  # until it is too old
            await caller.create(model="none", stream_id="other")
            events = await caller.until("error")
            refused = next((e for e in events if e.get("error", {}).get("code") == LIMIT), None)
        script.go_on.set()
        assert text((await caller.until("response.completed"))[-1]["response"]) == "one two "
        assert await closed(caller) == 1000


async def test_a_socket_of_a_revoked_key_is_closed(site: OpenSite) -> None:
    script = pausing()
    async with site(script, mode=OutputModeration.OFF) as here, calling(here) as caller:
        await caller.create()
        await asyncio.wait_for(script.paused.wait(), 5)
        (key,) = await here.mesh.accounts.list_keys()
        await here.mesh.accounts.revoke_key(key.id)
        await here.mesh.front.connections.stop_revoked(here.mesh.accounts)
        assert await closed(caller) == 1008
        await asyncio.wait_for(here.mesh.inference.idle.wait(), 5)
        assert here.mesh.inference.aborted == 1


async def test_a_gateway_that_leaves_ends_what_runs_and_closes(site: OpenSite) -> None:
    script = pausing()
    async with (
        site(script, mode=OutputModeration.OFF) as here,
        calling(here) as busy,
        calling(here) as idle,
    ):
        await busy.create()
        await asyncio.wait_for(script.paused.wait(), 5)
        stopping = asyncio.gather(
            *(each.stop(30) for each in (here.server, here.mesh.front.connections))
        )
        assert await closed(idle) == 1012
        await busy.create(stream_id="other")
        assert (await busy.until("error"))[-1]["status"] == 503
        script.go_on.set()
        assert text((await busy.until())[-1]["response"]) == "one two "
        assert await closed(busy) == 1012
        await asyncio.wait_for(stopping, 5)


async def test_what_runs_longer_than_the_grace_is_cut_off(site: OpenSite) -> None:
    script = pausing()
    async with site(script, mode=OutputModeration.OFF) as here, calling(here) as caller:
        await caller.create()
        await asyncio.wait_for(script.paused.wait(), 5)
        stops = (each.stop(0) for each in (here.server, here.mesh.front.connections))
        await asyncio.wait_for(asyncio.gather(*stops), 5)
        assert await closed(caller) == 1012
        assert here.mesh.inference.aborted == 1


async def test_leaving_stops_what_runs(site: OpenSite) -> None:
    script = pausing()
    async with site(script, mode=OutputModeration.OFF) as here:
        async with calling(here) as caller:
            await caller.create()
            await asyncio.wait_for(script.paused.wait(), 5)
        await asyncio.wait_for(here.mesh.inference.idle.wait(), 5)
        assert here.mesh.inference.aborted == 1


async def test_a_caller_that_vanishes_stops_what_runs(site: OpenSite) -> None:
    script = pausing()
    async with site(script, mode=OutputModeration.OFF) as here, calling(here) as caller:
        await caller.create()
        await asyncio.wait_for(script.paused.wait(), 5)
        caller.socket.transport.abort()
        await asyncio.wait_for(here.mesh.inference.idle.wait(), 5)
        assert here.mesh.inference.aborted == 1


async def test_a_caller_that_takes_nothing_is_cut_off(site: OpenSite) -> None:
    """It answers no ping, and more was sent than what lies on the way can hold."""
    script = says(*["x" * 100_000] * 400)
    bounds = replace(BOUNDS, event_bytes=10**9)
    async with (
        site(script, mode=OutputModeration.OFF, ping_seconds=0.5, bounds=bounds) as here,
        calling(here) as caller,
    ):
        await caller.create()
        await caller.next()
        caller.socket.transport.pause_reading()
        await asyncio.wait_for(here.mesh.inference.idle.wait(), 20)
        assert here.mesh.inference.aborted == 1


async def test_a_socket_that_is_gone_is_no_bug_to_those_who_write_on_it(
    site: OpenSite, capsys: pytest.CaptureFixture[str]
) -> None:
    scripts = [replace(says(*["word "] * 50), pause_before=1) for _ in range(2)]
    async with site(*scripts, mode=OutputModeration.OFF) as here, calling(here) as caller:
        for number, script in enumerate(scripts):
            await caller.create(stream_id=f"lane-{number}", background=True)
            await asyncio.wait_for(script.paused.wait(), 5)
        caller.socket.transport.abort()
        for script in scripts:
            script.go_on.set()
        async with asyncio.timeout(5):
            while here.mesh.front.connections.open or here.mesh.front.admission.under_way:  # noqa: ASYNC110
                await asyncio.sleep(0)
        # What is in the background has gone on.
        assert len(here.mesh.context.recorded) == 2
    assert "bug" not in capsys.readouterr().out


async def test_messages_are_counted(site: OpenSite) -> None:
    async with site(says("one")) as here, calling(here) as caller:
        await caller.answer()
        await caller.answer(model="none")
        await caller.say(STEER)
        await caller.next()
        metrics = generate_latest(here.registry).decode()
    assert "chatmesh_sockets 1.0" in metrics
    for kind, status in (("create", 200), ("create", 404), ("steer", 409)):
        counted = f'chatmesh_socket_messages_total{{kind="response.{kind}",status="{status}"}} 1.0'
        assert counted in metrics
    assert 'chatmesh_socket_first_event_seconds_count{kind="response.create"} 1.0' in metrics
