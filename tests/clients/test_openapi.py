"""The OpenAPI document is true: schemathesis asks every route what the document allows, and what it
forbids, and holds every answer against it. The scripted engine answers.

With `EACH_KEYWORD=1` all of its some ten thousand requests are sent, which takes long.
"""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from .conftest import Scripted

HERE = Path(__file__).parent
# One request for each keyword of the document: also whether what it allows is taken. A path may be
# of two routes, as `input_tokens` could be an id: Allow names all methods.
EACH_KEYWORD = [
    "--phases=examples,coverage",
    "--checks=all",
    # `what_the_document_allows_is_taken` of the hooks is there instead of the latter.
    "--exclude-checks=allow_header_conformance,positive_data_acceptance",
]
# These have the bodies of other routes.
TWICE = ("POST /v1/responses/input_tokens", "POST /v1/conversations/{conversation_id}/items")
SOME = [*EACH_KEYWORD, *(f"--exclude-name={name}" for name in TWICE)]
AT_RANDOM = [
    "--phases=fuzzing,stateful",
    "--checks=all",
    # Not all that a schema allows makes sense, such as a result without its call.
    "--exclude-checks=positive_data_acceptance,what_the_document_allows_is_taken",
    "--max-examples=20",
]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("phase", "one_in"),
    [(EACH_KEYWORD, 1)] if "EACH_KEYWORD" in os.environ else [(SOME, 6), (AT_RANDOM, 1)],
    ids=["each keyword"] if "EACH_KEYWORD" in os.environ else ["some of each keyword", "at random"],
)
def test_the_document_is_true(
    scripted: Scripted, phase: list[str], one_in: int, tmp_path: Path
) -> None:
    described = httpx.get(f"{scripted.url}/openapi.json", trust_env=False, timeout=60)
    (tmp_path / "openapi.json").write_text(described.text)
    told = [
        *("openapi.json", f"--url={scripted.url}"),
        *("--generation-deterministic", "--continue-on-failure"),
        *("--suppress-health-check=all", "--request-timeout=60", "--no-color", "--warnings=off"),
        f"--header=Authorization: Bearer {scripted.api_key}",
    ]
    done = subprocess.run(
        [Path(sys.executable).parent / "st", "run", *told, *phase],
        cwd=tmp_path,
        env={
            **os.environ,
            "MODEL": scripted.model,
            "PYTHONPATH": str(HERE),
            "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
            "ONE_IN": str(one_in),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    assert "Tested: " in done.stdout
