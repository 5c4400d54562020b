"""What the gateway keeps of a response beside its items, as the opaque document of its turn."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from services.context_assembly.api import Turn
from services.gateway.api import Failed, Response, Status
from services.inference.api import TokenLogprob, Usage
from services.shared.conversation import Item

# Some three hundred kilobytes.
_MOST_LOGPROBS = 10_000


def dump(response: Response, *, earlier: int) -> str:
    """`earlier` is how many of the turn's input items came before those of its request."""
    return json.dumps(
        {
            "model": response.model,
            "previous_response_id": response.previous_response_id,
            "earlier": earlier,
            "status": response.status.value,
            "completed_at_ms": response.completed_at_ms,
            "usage": asdict(response.usage),
            "echo": response.echo,
            "background": response.background,
            # What fails is no turn of its conversation, but says which it was to be a turn of.
            "conversation": response.conversation if response.error else "",
            "error": asdict(response.error) if response.error else None,
            "unfinished": sorted(response.unfinished),
            **_logprobs_out(response),
        }
    )


def load(turn: Turn) -> Response:
    """Documents of release 0.1.0 say nothing of the background, of errors or of what was named."""
    kept = json.loads(turn.document)
    error = kept.get("error")
    return Response(
        id=turn.id,
        model=kept["model"],
        # What was not stored can be named too, but is no parent. In a conversation none is named.
        previous_response_id=kept.get(
            "previous_response_id", "" if turn.conversation_id else turn.parent_id
        ),
        created_at_ms=turn.created_at_ms,
        completed_at_ms=kept["completed_at_ms"],
        status=Status(kept["status"]),
        output=tuple(turn.output),
        usage=Usage(**kept["usage"]),
        echo=kept["echo"],
        background=kept.get("background", False),
        error=Failed(**error) if error else None,
        unfinished=frozenset(kept.get("unfinished", ())),
        conversation=turn.conversation_id or kept.get("conversation", ""),
        logprobs={
            item_id: tuple(map(_logprob_in, tokens))
            for item_id, tokens in kept.get("logprobs", {}).items()
        },
    )


def _logprobs_out(response: Response) -> dict[str, Any]:
    """Nothing where there are more than are kept: a store has to carry them in one piece."""
    count = sum(1 + len(token.top) for told in response.logprobs.values() for token in told)
    if not 0 < count <= _MOST_LOGPROBS:
        return {}
    told = response.logprobs.items()
    return {"logprobs": {item_id: [*map(_logprob_out, tokens)] for item_id, tokens in told}}


def _logprob_out(logprob: TokenLogprob) -> list[Any]:
    return [logprob.id, logprob.token, logprob.logprob, [*map(_logprob_out, logprob.top)]]


def _logprob_in(kept: Sequence[Any]) -> TokenLogprob:
    token_id, token, logprob, top = kept
    return TokenLogprob(token_id, token, logprob, tuple(map(_logprob_in, top)))


def own_input(turn: Turn) -> Sequence[Item]:
    """What the request of the turn brought; not what was stored nowhere before it."""
    earlier: int = json.loads(turn.document).get("earlier", 0)
    return turn.input[earlier:]
