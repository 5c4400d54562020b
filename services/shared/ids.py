"""Ids that callers see: a prefix that says of what, and random bits in hex.

A response's id is `resp_`, the 32 hex digits of its conversation's root, and, unless it is the root
itself, 32 digits of its own. A store that partitions by conversation so finds any turn by its id in
one read. An item's id holds its response's digits, so that the item is found by its id alone.

A conversation's id is `conv_` and the 32 digits of the root of its tree: a turn without a reply.
"""

import hashlib
import re
import secrets

_RESPONSE = "resp_"
_CONVERSATION = "conv_"
_DIGITS = 32
_ITEM_DIGITS = 16
_ITEM_ID = re.compile(rf"[a-z]+_((?:[0-9a-f]{{{_DIGITS}}}){{1,2}})[0-9a-f]{{{_ITEM_DIGITS}}}")
_RESPONSE_ID = re.compile(rf"{_RESPONSE}(?:[0-9a-f]{{{_DIGITS}}}){{1,2}}")
_CONVERSATION_ID = re.compile(rf"{_CONVERSATION}([0-9a-f]{{{_DIGITS}}})")


def make_id(prefix: str) -> str:
    return f"{prefix}_{_random()}"


def make_response_id(parent_id: str) -> str:
    """An id for the response that continues `parent_id`.

    Empty, or no id of a response at all: the new one begins a conversation.
    """
    if not _RESPONSE_ID.fullmatch(parent_id):
        return _RESPONSE + _random()
    return root_of(parent_id) + _random()


def make_conversation_id() -> str:
    return _CONVERSATION + _random()


def first_turn_of(conversation_id: str) -> str:
    """The id of the root of a conversation's tree; empty for what is no id of a conversation."""
    match = _CONVERSATION_ID.fullmatch(conversation_id)
    return _RESPONSE + match[1] if match else ""


def make_item_id(prefix: str, response_id: str) -> str:
    """An id for an item of a response: the response's digits, and some of its own."""
    digits = response_id.removeprefix(_RESPONSE)
    return f"{prefix}_{digits}{secrets.token_hex(_ITEM_DIGITS // 2)}"


def nth_item_id(prefix: str, response_id: str, number: int) -> str:
    """As `make_item_id`, and the same whoever makes the response, as often as it is made."""
    digits = response_id.removeprefix(_RESPONSE)
    return f"{prefix}_{digits}{_digest(prefix, response_id, number)[:_ITEM_DIGITS]}"


def nth_call_id(response_id: str, number: int) -> str:
    """A call's id, as short as clients carry it to servers that take no long ones."""
    return f"call_{_digest('call', response_id, number)[:_DIGITS]}"


def response_of(item_id: str) -> str:
    """The id of the response that an item is of; empty, where the item's id does not tell."""
    match = _ITEM_ID.fullmatch(item_id)
    return _RESPONSE + match[1] if match else ""


def root_of(response_id: str) -> str:
    """The id of the response with which the conversation began.

    Release 0.1.0 made ids that hold no root. Each of them counts as a root here; where such a turn
    really stands in its tree only its stored row tells.
    """
    return response_id[: len(_RESPONSE) + _DIGITS]


def _digest(prefix: str, response_id: str, number: int) -> str:
    return hashlib.sha256(f"{prefix} {number} of {response_id}".encode()).hexdigest()


def _random() -> str:
    return secrets.token_hex(_DIGITS // 2)
