"""What may be seen in training and what only in evaluation, decided by hash."""

from enum import Enum
from hashlib import blake2b

HELD_OUT_SHARE = 0.1


class Split(Enum):
    TRAINING = "training"
    HELD_OUT = "held-out"

    def holds(self, text: str) -> bool:
        return (self is Split.HELD_OUT) == _held_out(text)


def _held_out(text: str) -> bool:
    digest = blake2b(text.lower().encode(), digest_size=4).digest()
    return int.from_bytes(digest) < HELD_OUT_SHARE * 2**32
