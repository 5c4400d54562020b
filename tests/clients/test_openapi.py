"""The OpenAPI document is true: schemathesis asks every route what the document allows, and what it
forbids, and holds every answer against it. The scripted engine answers.
"""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from .conftest import Scripted

HERE = Path(__file__).parent
# So many requests for each route where they are made at random.
EXAMPLES = "20"


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "phase",
    [
        # One request for each keyword of the document: also whether what it allows is accepted.
        # A path may be of two routes, as `input_tokens` could be an id: Allow names all methods.
        pytest.param(
            [
                "--phases=examples,coverage",
                "--checks=all",
                "--exclude-checks=allow_header_conformance",
            ],
            marks=pytest.mark.skipif(
                "EACH_KEYWORD" not in os.environ,
                reason="takes five minutes, and the document is still loose where conversations,"
                " steering and compaction are: EACH_KEYWORD=1 runs it",
            ),
        ),
        # At random. Not all that a schema allows makes sense, such as a result without its call.
        [
            "--phases=fuzzing,stateful",
            "--checks=all",
            "--exclude-checks=positive_data_acceptance",
            f"--max-examples={EXAMPLES}",
        ],
    ],
    ids=["each keyword", "at random"],
)
def test_the_document_is_true(scripted: Scripted, phase: list[str], tmp_path: Path) -> None:
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
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    assert "Tested: " in done.stdout
