"""A journal that any writer may write: what the fence is for.

`python -m tests.fakes.unfenced` is a gateway with it.
"""

from services.gateway.adapters import redis_scripts, streams
from services.gateway.adapters.redis_journal import RedisJournal
from services.gateway.wiring import SERVICE
from services.shared.process import main

_GAPS = f"if number > length then return {redis_scripts.GAP} - length end"


class Unfenced(RedisJournal):
    """Writes whatever its epoch is, and at the end, whatever the number."""

    # Steps alone, without an event, have the number -1.
    appending = redis_scripts.APPEND.replace(redis_scripts.FENCE, "").replace(
        _GAPS, "if number >= 0 then number = length end"
    )


if __name__ == "__main__":
    vars(streams)[RedisJournal.__name__] = Unfenced
    main(SERVICE)
