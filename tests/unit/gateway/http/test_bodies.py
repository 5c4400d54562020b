"""Packed bodies: read as far as they may, refused as what they are."""

import gzip
import json
import zlib
from itertools import count

import brotli
import pytest
from backports import zstd
from starlette.exceptions import HTTPException
from starlette.types import Message

from services.gateway.http.bodies import BoundedBody, unpacking
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
    "br": brotli.compress(CHAT),
    "zstd": zstd.compress(CHAT),
    "ZSTD": zstd.compress(CHAT[:20]) + zstd.compress(CHAT[20:]),
}


@pytest.mark.parametrize("encoding", PACKED)
async def test_a_packed_body_is_read(site: OpenSite, encoding: str) -> None:
    headers = {"content-type": "application/json", "content-encoding": encoding}
    async with site(says("ok")) as here:
        path = "/v1/chat/completions"
        got = await here.http.post(path, content=PACKED[encoding], headers=headers)
    assert got.status_code == 200, got.text


@pytest.mark.parametrize("encoding", ["br, br", "zstd, gzip", "gzip, gzip", "compress", "CANARY"])
async def test_what_cannot_be_unpacked_is_told(site: OpenSite, encoding: str) -> None:
    headers = {"content-type": "application/json", "content-encoding": encoding}
    async with site() as here:
        got = await here.http.post("/v1/chat/completions", content=b"x", headers=headers)
    assert (got.status_code, got.headers["accept-encoding"]) == (
        415,
        "gzip, deflate, br, zstd",
    )
    assert "Content-Encoding" in got.json()["error"]["message"]
    assert "CANARY" not in got.text


def far_back() -> bytes:
    """A frame for which a reader has to hold 128 MiB."""
    parameter = zstd.CompressionParameter
    packer = zstd.ZstdCompressor(options={parameter.window_log: 27})
    return packer.compress(CHAT) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "packed", "status"),
    [
        ("gzip", gzip.compress(b" " * 200_001), 413),
        ("gzip", gzip.compress(b" " * 50_000_000), 413),
        ("gzip", gzip.compress(CHAT)[:-9], 400),
        ("br", brotli.compress(b" " * 200_001), 413),
        ("br", brotli.compress(b" " * 50_000_000), 413),
        ("br", brotli.compress(CHAT)[:-2], 400),
        ("br", brotli.compress(CHAT) + b"more", 400),
        ("zstd", zstd.compress(b" " * 200_001), 413),
        ("zstd", zstd.compress(b" " * 50_000_000), 413),
        ("zstd", zstd.compress(CHAT)[:-2], 400),
        ("zstd", far_back(), 400),
        *((encoding, b"nonsense", 400) for encoding in ("gzip", "br", "zstd")),
        *((encoding, CHAT, 400) for encoding in ("gzip", "br", "zstd")),
    ],
    ids=count(),
)
async def test_what_is_packed_wrongly_is_refused(
    site: OpenSite, encoding: str, packed: bytes, status: int
) -> None:
    headers = {"content-type": "application/json", "content-encoding": encoding}
    async with site() as here:
        got = await here.http.post("/v1/chat/completions", content=packed, headers=headers)
    assert got.status_code == status
    assert got.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("encoding", "bomb"),
    [
        ("gzip", gzip.compress(b" " * 1_000_000) * 3),
        ("br", brotli.compress(b" " * 3_000_000)),
        ("zstd", zstd.compress(b" " * 1_000_000) * 3),
    ],
)
def test_no_more_is_unpacked_than_is_asked_for(encoding: str, bomb: bytes) -> None:
    assert len(unpacking(encoding).unpacked(bomb, 10)) == 11


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
async def test_a_body_may_come_in_any_pieces(encoding: str) -> None:
    packed = PACKED[encoding]
    pieces = [packed[n : n + 1] for n in range(len(packed))]

    async def receive() -> Message:
        body = pieces.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(pieces)}

    body = BoundedBody(receive, unpacking(encoding), max_bytes=100, seconds=5)
    read = b"".join([(await body.receive())["body"] for _ in packed])
    assert read == CHAT


async def test_a_body_is_bounded_as_it_is_sent_too() -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"123456", "more_body": True}

    with pytest.raises(HTTPException, match="more than 5 bytes"):
        await BoundedBody(receive, unpacking(""), max_bytes=5, seconds=5).receive()
