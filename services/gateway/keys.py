"""API keys: how they are made, written and recognised.

`cm_live_<id>_<secret>_<checksum>`: the id is public and finds the row, the secret is 32 random
bytes, the checksum tells a mistyped key from a wrong one without asking the store.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass

from services.gateway.api import InvalidKey

_ALPHABET = string.ascii_letters + string.digits
# 43 characters of 62 hold a little more than 32 bytes.
_PATTERN = re.compile(r"cm_live_([A-Za-z0-9]{8})_([A-Za-z0-9]{43})_([0-9a-f]{8})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ApiKey:
    id: str
    secret: str

    def __str__(self) -> str:
        body = f"cm_live_{self.id}_{self.secret}"
        return f"{body}_{_checksum(body)}"

    def __repr__(self) -> str:
        return f"ApiKey({self.id})"


def mint() -> ApiKey:
    return ApiKey(_random(8), _random(43))


def parse(text: str) -> ApiKey:
    match = _PATTERN.fullmatch(text)
    if not match or _checksum(text.rpartition("_")[0]) != match[3]:
        raise InvalidKey("this is not a chatmesh API key: make one with `make key`")
    return ApiKey(match[1], match[2])


def bearer(authorization: str) -> str:
    """The key of an `Authorization` header or metadata entry."""
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise InvalidKey("send your API key as `Authorization: Bearer cm_live_...`")
    return key.strip()


def fingerprint(key: ApiKey, pepper: bytes) -> bytes:
    """What the store keeps: HMAC-SHA256, which is enough for 256 random bits."""
    return hmac.digest(pepper, key.secret.encode(), hashlib.sha256)


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
