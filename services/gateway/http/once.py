"""`Idempotency-Key`: a request that its caller may send again."""

import hashlib

from fastapi import Request

from services.gateway.api import Once
from services.gateway.http.errors import FieldRefused
from services.gateway.values import idempotency_key

_HEADER = "Idempotency-Key"


async def once_of(request: Request) -> Once | None:
    """None: the request has no key. Raises a 400 for one that no key can be.

    The digest is of path and body, so that a key counts for one route.
    """
    keys = request.headers.getlist(_HEADER)
    if not keys:
        return None
    try:
        key = idempotency_key("" if len(keys) > 1 else keys[0])
    except ValueError as error:
        raise FieldRefused(_HEADER, str(error)) from None
    digest = hashlib.sha256(request.url.path.encode() + b"\n" + await request.body())
    return Once(key, digest.digest())
