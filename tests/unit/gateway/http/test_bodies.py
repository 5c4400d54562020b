"""Packed bodies: read as far as they may, refused as what they are."""

import gzip
import json
import zlib

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message

from services.gateway.http.bodies import BoundedBody, Deflated, unpacking
from tests.fakes.mesh import says
from tests.unit.gateway.http.conftest import OpenSite

CHAT = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "hi"}]}).encode()
# As tools write it that know no zlib header.
RAW = zlib.compress(CHAT)[2:-4]
PACKED = {
    "gzip": gzip.compress(CHAT),
    "x-gzip": gzip.compress(CHAT[:20]) + gzip.compress(CHAT[20:]),
    "GZIP": gzip.compress(CHAT),
    "deflate": zlib.compress(CHAT),
    "Deflate": RAW,
    "identity": CHAT,
}


@pytest.mark.parametrize("encoding", PACKED)
async def test_a_packed_body_is_read(site: OpenSite, encoding: str) -> None:
    headers = {"content-type": "application/json", "content-encoding": encoding}
    async with site(says("ok")) as here:
        path = "/v1/chat/completions"
        got = await here.http.post(path, content=PACKED[encoding], headers=headers)
    assert got.status_code == 200, got.text


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress", "CANARY"])
async def test_what_cannot_be_unpacked_is_told(site: OpenSite, encoding: str) -> None:
    headers = {"content-type": "application/json", "content-encoding": encoding}
    async with site() as here:
        got = await here.http.post("/v1/chat/completions", content=b"x", headers=headers)
    assert (got.status_code, got.headers["accept-encoding"]) == (415, "gzip, deflate")
    assert "Content-Encoding" in got.json()["error"]["message"]
    assert "CANARY" not in got.text


@pytest.mark.parametrize(
    ("packed", "status"),
    [
        (gzip.compress(b" " * 200_001), 413),
        (gzip.compress(b" " * 50_000_000), 413),
        (gzip.compress(CHAT)[:-9], 400),
        (b"nonsense", 400),
        (CHAT, 400),
    ],
    ids=["too long", "a bomb", "cut", "nonsense", "not packed"],
)
async def test_what_is_packed_wrongly_is_refused(
    site: OpenSite, packed: bytes, status: int
) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    async with site() as here:
        got = await here.http.post("/v1/chat/completions", content=packed, headers=headers)
    assert got.status_code == status
    assert got.json()["error"]["type"] == "invalid_request_error"


def test_no_more_is_unpacked_than_is_asked_for() -> None:
    bomb = gzip.compress(b" " * 1_000_000) * 3
    assert len(Deflated(gzip=True).unpacked(bomb, 10)) == 11


async def test_a_body_may_come_in_any_pieces() -> None:
    packed = gzip.compress(CHAT)
    pieces = [packed[n : n + 1] for n in range(len(packed))]

    async def receive() -> Message:
        body = pieces.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(pieces)}

    body = BoundedBody(receive, unpacking("gzip"), max_bytes=100, seconds=5)
    read = b"".join([(await body.receive())["body"] for _ in packed])
    assert read == CHAT


async def test_a_body_is_bounded_as_it_is_sent_too() -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"123456", "more_body": True}

    with pytest.raises(HTTPException, match="more than 5 bytes"):
        await BoundedBody(receive, unpacking(""), max_bytes=5, seconds=5).receive()
