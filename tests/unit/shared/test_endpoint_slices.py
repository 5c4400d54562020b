"""The replicas that Kubernetes tells, by its own client and a small API server on loopback."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from kubernetes.aio.client import (
    ApiClient,
    Configuration,
    DiscoveryV1Api,
    V1Endpoint,
    V1EndpointConditions,
    V1EndpointSlice,
)

from services.shared.background import in_background
from services.shared.endpoint_slices import Follower, HeadlessService, replicas
from services.shared.peers import Peer, Peers

PATH = "/apis/discovery.k8s.io/v1/namespaces/chat/endpointslices"
_SERVICE = HeadlessService("tokenizer", 50052, again_seconds=0)


def endpoint(number: int, **conditions: bool) -> dict[str, Any]:
    return {
        "addresses": [f"10.0.0.{number}"],
        "conditions": {"ready": True, "serving": True, "terminating": False} | conditions,
        "targetRef": {"kind": "Pod", "name": f"tokenizer-{number}"},
    }


def slice_of(name: str, *endpoints: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "chat", "resourceVersion": "5"},
        "addressType": "IPv4",
        "ports": [{"name": "grpc", "port": 50052}],
        "endpoints": list(endpoints),
    }


class ApiServer:
    """Lists and watches one kind; refuses as often as it is told to."""

    def __init__(self, *slices: dict[str, Any]) -> None:
        self.slices = list(slices)
        self.refusals = 0
        self.asked: list[dict[str, str]] = []
        self.events = asyncio.Queue[dict[str, Any] | None]()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        if self.refusals:
            self.refusals -= 1
            return web.json_response({"kind": "Status", "code": 403}, status=403)
        if request.query.get("watch") not in {"true", "True"}:
            listed = {"resourceVersion": "5"}
            kind = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSliceList"}
            return web.json_response({**kind, "metadata": listed, "items": self.slices})
        response = web.StreamResponse()
        await response.prepare(request)
        while (event := await self.events.get()) is not None:
            await response.write(json.dumps(event).encode() + b"\n")
        return response


@asynccontextmanager
async def followed(server: ApiServer) -> AsyncIterator[Peers]:
    app = web.Application()
    app.router.add_get(PATH, server.serve)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    peers = Peers([])

    def learn(pods: Mapping[str, str], starting: int) -> None:
        peers.become((Peer(where, pod) for where, pod in pods.items()), starting)

    try:
        async with ApiClient(Configuration(host=f"http://127.0.0.1:{port}")) as api:
            follower = Follower(DiscoveryV1Api(api), "chat", _SERVICE, learn)
            async with in_background(follower.follow):
                yield peers
    finally:
        server.events.put_nowait(None)
        await runner.cleanup()


async def known(peers: Peers) -> Sequence[str]:
    """The names of the pods after the next change."""
    async with asyncio.timeout(20):
        await peers.changed()
    return [peer.pod for peer in peers.known]


async def test_pods_come_leave_and_are_gone() -> None:
    server = ApiServer(slice_of("a", endpoint(1)))
    async with followed(server) as peers:
        assert await known(peers) == ["tokenizer-1"]
        assert peers.known[0].address == "10.0.0.1:50052"
        for kind, told, expected in (
            ("MODIFIED", slice_of("a", endpoint(1), endpoint(2)), ["tokenizer-1", "tokenizer-2"]),
            ("ADDED", slice_of("b", endpoint(3)), ["tokenizer-1", "tokenizer-2", "tokenizer-3"]),
            (
                "MODIFIED",
                slice_of("a", endpoint(1, ready=False), endpoint(2, ready=True, terminating=True)),
                ["tokenizer-3"],
            ),
            ("DELETED", slice_of("b"), []),
        ):
            server.events.put_nowait({"type": kind, "object": told})
            assert await known(peers) == expected
    assert server.asked[0]["labelSelector"] == "kubernetes.io/service-name=tokenizer"


async def test_a_watch_that_ends_is_begun_anew() -> None:
    server = ApiServer(slice_of("a", endpoint(1)))
    async with followed(server) as peers:
        assert await known(peers) == ["tokenizer-1"]
        server.slices = [slice_of("a", endpoint(2))]
        server.events.put_nowait(None)
        server.events.put_nowait({"type": "MODIFIED", "object": slice_of("a", endpoint(2))})
        assert await known(peers) == ["tokenizer-2"]


async def test_where_they_may_not_be_read_nothing_is_told_and_they_are_read_again() -> None:
    server = ApiServer(slice_of("a", endpoint(1)))
    server.refusals = 3
    async with followed(server) as peers:
        assert await known(peers) == ["tokenizer-1"]
    assert len(server.asked) > 3


def told(address: str, **conditions: bool) -> V1Endpoint:
    return V1Endpoint(addresses=[address], conditions=V1EndpointConditions(**conditions))


def test_a_pod_takes_calls_is_starting_or_is_leaving() -> None:
    endpoints = [
        told("10.0.0.1", ready=True),
        # Kubernetes says nothing of readiness where it does not know.
        told("fd00::2"),
        told("10.0.0.3", ready=False),
        told("10.0.0.4", ready=True, terminating=True),
        told("10.0.0.5", ready=False, terminating=True),
    ]
    one, without = (
        V1EndpointSlice(address_type="IPv4", endpoints=each) for each in (endpoints, None)
    )
    pods, starting = replicas([one, without], 50052)
    assert pods == {"10.0.0.1:50052": "", "[fd00::2]:50052": ""}
    assert starting == 1
