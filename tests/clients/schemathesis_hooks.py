"""What schemathesis does besides what it always does; `SCHEMATHESIS_HOOKS` names this file."""

import json
import os
import zlib
from typing import Any

import schemathesis

# Of the cases that have a body, one in so many is sent. Which, depends on nothing but the case.
ONE_IN = int(os.environ.get("ONE_IN", "1"))
# What no schema can foretell, and what a request that follows it may be refused for.
UNFORETOLD = {"invalid_encrypted_content", "context_length_exceeded"}
# The same, where the refusal has no code of its own.
UNFORETOLD_WORDS = (
    "answers no call before it",
    "names an item that is not there",
    "names nothing that is in this list",
)


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Names a model that is served in most requests, which else would all be a 404."""
    if isinstance(body, dict) and isinstance(body.get("model"), str) and len(body["model"]) != 1:
        return {**body, "model": os.environ["MODEL"]}
    return body


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    if ONE_IN == 1 or not isinstance(case.body, dict | list):
        return True
    written = json.dumps([case.path_parameters, case.body], sort_keys=True, default=repr)
    return zlib.crc32(written.encode()) % ONE_IN == 0


@schemathesis.check
def what_the_document_allows_is_taken(ctx: Any, response: Any, case: Any) -> None:
    """As `positive_data_acceptance`, but for what depends on more than the request's form."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if response.status_code not in {400, 413, 415, 422}:
        return
    error = response.json()["error"]
    if error["code"] in UNFORETOLD or any(word in error["message"] for word in UNFORETOLD_WORDS):
        return
    raise AssertionError(f"the document allows this: {error['message']}")
