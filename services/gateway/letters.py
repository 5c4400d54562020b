"""What gateways ask each other about the turns that live in them."""

from dataclasses import dataclass
from enum import Enum

from services.gateway.api import Failed
from services.shared.conversation import Item


class Wanted(Enum):
    CANCEL = "cancel"
    ERASE = "erase"
    STEER = "steer"
    INPUT = "input"


@dataclass(frozen=True, slots=True)
class Letter:
    wanted: Wanted
    response_id: str
    # To steer it with.
    words: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class LetterReply:
    """`items` are what the turn's request brought; None: that is not known."""

    failure: Failed | None = None
    items: tuple[Item, ...] | None = None
    # Of the response that answers the words.
    response_id: str = ""


LETTERS = (Wanted, Letter, LetterReply)
