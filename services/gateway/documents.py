"""What the gateway keeps of a response beside its items, as the opaque document of its turn."""

import json
from dataclasses import asdict

from services.context_assembly.api import Turn
from services.gateway.api import Response, Status
from services.inference.api import Usage


def dump(response: Response) -> str:
    return json.dumps(
        {
            "model": response.model,
            "previous_response_id": response.previous_response_id,
            "status": response.status.value,
            "completed_at_ms": response.completed_at_ms,
            "usage": asdict(response.usage),
            "echo": response.echo,
        }
    )


def load(turn: Turn) -> Response:
    kept = json.loads(turn.document)
    return Response(
        id=turn.id,
        model=kept["model"],
        # What was not stored can be named too, but is no parent. Release 0.2.0 kept no name.
        previous_response_id=kept.get("previous_response_id", turn.parent_id),
        created_at_ms=turn.created_at_ms,
        completed_at_ms=kept["completed_at_ms"],
        status=Status(kept["status"]),
        output=tuple(turn.output),
        usage=Usage(**kept["usage"]),
        echo=kept["echo"],
    )
