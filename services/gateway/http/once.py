"""`Idempotency-Key`: a request that its caller may send again."""

import hashlib
import re

from fastapi import Request

from services.gateway.api import Once
from services.gateway.http.errors import FieldRefused

_HEADER = "Idempotency-Key"


async def once_of(request: Request) -> Once | None:
    """None: the request has no key. Raises a 400 for one that no key can be.

    The digest is of path and body, so that a key counts for one route.
    """
    keys = request.headers.getlist(_HEADER)
    if not keys:
        return None
    if len(keys) > 1 or not re.fullmatch(r"[!-~]{1,255}", keys[0]):
        raise FieldRefused(_HEADER, "must be one text of 1 to 255 letters, digits and signs")
    digest = hashlib.sha256(request.url.path.encode() + b"\n" + await request.body())
    return Once(keys[0], digest.digest())
