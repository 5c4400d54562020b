"""What the gateway keeps of a response beside its items, as the opaque document of its turn."""

import json
from dataclasses import asdict

from services.context_assembly.api import Turn
from services.gateway.api import Failed, Response, Status
from services.inference.api import Usage


def dump(response: Response) -> str:
    return json.dumps(
        {
            "model": response.model,
            "status": response.status.value,
            "completed_at_ms": response.completed_at_ms,
            "usage": asdict(response.usage),
            "echo": response.echo,
            "background": response.background,
            "error": asdict(response.error) if response.error else None,
            "unfinished": sorted(response.unfinished),
        }
    )


def load(turn: Turn) -> Response:
    """Documents of release 0.1.0 say nothing of the background or of errors."""
    kept = json.loads(turn.document)
    error = kept.get("error")
    return Response(
        id=turn.id,
        model=kept["model"],
        # In a conversation nobody named the turn before.
        previous_response_id="" if turn.conversation_id else turn.parent_id,
        created_at_ms=turn.created_at_ms,
        completed_at_ms=kept["completed_at_ms"],
        status=Status(kept["status"]),
        output=tuple(turn.output),
        usage=Usage(**kept["usage"]),
        echo=kept["echo"],
        background=kept.get("background", False),
        error=Failed(**error) if error else None,
        unfinished=frozenset(kept.get("unfinished", ())),
        conversation=turn.conversation_id,
    )
