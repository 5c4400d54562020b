"""The bodies of requests as they arrive: bounded, and unpacked where they are packed."""

import asyncio
import zlib
from typing import Protocol

import brotli
from backports import zstd
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

# Each of zlib's formats by its window bits: a gzip header, a zlib header, none.
_GZIP, _ZLIB, _RAW = 31, 15, -15
# The first byte of a zlib header says in its lower half that this is deflate.
_HALF, _DEFLATE = 0x0F, 8
# How far back a zstd body may refer: 8 MiB, which every reader of `Content-Encoding: zstd` has to
# hold and none must hold more of (RFC 9659).
_ZSTD_WINDOW_LOG = 23
_BROKEN = (zlib.error, brotli.error, zstd.ZstdError)


class Unpacking(Protocol):
    """Unpacks one body, piece by piece."""

    def unpacked(self, piece: bytes, most: int) -> bytes:
        """What the piece holds; no more than a byte over `most`, however much that would be."""

    @property
    def whole(self) -> bool:
        """Whether the packed body may end here."""


class Plain:
    """A body that is not packed."""

    whole = True

    def unpacked(self, piece: bytes, most: int) -> bytes:  # noqa: ARG002
        return piece


class Deflated:
    """What gzip and deflate have in common; a gzip body may have several members.

    Some clients say `deflate` and send no zlib header.
    """

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._member = zlib.decompressobj(_GZIP) if gzip else None

    @property
    def whole(self) -> bool:
        return self._member is not None and self._member.eof

    def unpacked(self, piece: bytes, most: int) -> bytes:
        found = bytearray()
        while piece and len(found) <= most:
            if self._member is None:
                self._member = zlib.decompressobj(_ZLIB if piece[0] & _HALF == _DEFLATE else _RAW)
            elif self._member.eof:
                if not self._gzip:
                    raise zlib.error("something follows")
                self._member = zlib.decompressobj(_GZIP)
            found += self._member.decompress(piece, most + 1 - len(found))
            piece = self._member.unconsumed_tail or self._member.unused_data
        return bytes(found)


class Brotli:
    """A body of one brotli stream."""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    @property
    def whole(self) -> bool:
        return bool(self._stream.is_finished())

    def unpacked(self, piece: bytes, most: int) -> bytes:
        found = bytearray(self._stream.process(piece, output_buffer_limit=most + 1))
        while len(found) <= most and not self._stream.can_accept_more_data():
            found += self._stream.process(b"", output_buffer_limit=most + 1 - len(found))
        return bytes(found[: most + 1])


class Zstandard:
    """A body of one or several zstd frames."""

    def __init__(self) -> None:
        self._frame = _zstd_frame()

    @property
    def whole(self) -> bool:
        return self._frame.eof

    def unpacked(self, piece: bytes, most: int) -> bytes:
        found = bytearray()
        while len(found) <= most and (piece or not (self._frame.eof or self._frame.needs_input)):
            if self._frame.eof:
                self._frame = _zstd_frame()
            found += self._frame.decompress(piece, most + 1 - len(found))
            piece = self._frame.unused_data if self._frame.eof else b""
        return bytes(found)


def _zstd_frame() -> zstd.ZstdDecompressor:
    return zstd.ZstdDecompressor(
        options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
    )


def unpacking(encoding: str) -> Unpacking:
    """For a `Content-Encoding`. Raises a 415 where it is not known here."""
    match encoding.strip().lower():
        case "" | "identity":
            return Plain()
        case "gzip" | "x-gzip":
            return Deflated(gzip=True)
        case "deflate":
            return Deflated(gzip=False)
        case "br":
            return Brotli()
        case "zstd":
            return Zstandard()
    raise HTTPException(
        415,
        "Content-Encoding: a body may be gzip, deflate, br or zstd, once, or not be packed",
        headers={"accept-encoding": "gzip, deflate, br, zstd"},
    )


class BoundedBody:
    """A body as it arrives. A longer one is refused, and so is one that takes more `seconds`.

    One that is packed is bounded twice: as it is sent, and as it is unpacked.
    """

    def __init__(
        self, receive: Receive, packed: Unpacking, *, max_bytes: int, seconds: float
    ) -> None:
        self._receive = receive
        self._packed = packed
        self._max_bytes = max_bytes
        self._due = asyncio.get_running_loop().time() + seconds
        self._arrived = 0
        self._unpacked = 0
        self._whole = False

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._due):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "the body took too long to arrive") from None
        if message["type"] != "http.request":
            return message
        self._whole = not message.get("more_body", False)
        return {**message, "body": self._read(message.get("body", b""))}

    def _read(self, piece: bytes) -> bytes:
        self._arrived += len(piece)
        self._check(self._arrived)
        try:
            body = self._packed.unpacked(piece, self._max_bytes - self._unpacked)
        except _BROKEN:
            raise _broken() from None
        self._unpacked += len(body)
        self._check(self._unpacked)
        if self._whole and self._arrived and not self._packed.whole:
            raise _broken()
        return body

    def _check(self, read: int) -> None:
        if read > self._max_bytes:
            raise HTTPException(413, f"the body has more than {self._max_bytes} bytes")


def _broken() -> HTTPException:
    return HTTPException(400, "the body is not what its Content-Encoding says")
