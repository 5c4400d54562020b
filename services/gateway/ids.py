"""Ids that callers see: a prefix that says of what, and 128 random bits."""

import secrets


def make_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(16)}"
