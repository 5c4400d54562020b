"""What schemathesis does before it sends a request; `SCHEMATHESIS_HOOKS` names this file."""

import os
from typing import Any

import schemathesis


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Names a model that is served in most requests, which else would all be a 404."""
    if isinstance(body, dict) and isinstance(body.get("model"), str) and len(body["model"]) != 1:
        return {**body, "model": os.environ["MODEL"]}
    return body
