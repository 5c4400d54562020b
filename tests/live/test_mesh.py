"""`make up` as a new user has it: real vLLM, the demo model, and OpenAI's own client."""

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from services.inference.config import InferenceConfig
from services.local.preflight import free_port
from tests.fakes.vllm_dialect import needs_vllm

pytestmark = [*needs_vllm, pytest.mark.timeout(300)]
# Asks for the mesh's own tools and for memory.
OWN = {"type": "mcp", "server_label": "chatmesh"}
FORECAST = {
    "type": "object",
    "properties": {"parcel": {"type": "string"}, "express": {"type": "boolean"}},
    "required": ["parcel"],
}


def chatmesh(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)


@dataclass(frozen=True, slots=True)
class Up:
    """A mesh that `up --detach` left running, and what it said."""

    data: Path
    port: int
    said: str
    run: dict[str, Any]
    sdk: openai.OpenAI

    def chat(self, text: str, **more: Any) -> Any:
        return self.sdk.chat.completions.create(
            model=self.run["model"], messages=[{"role": "user", "content": text}], **more
        )

    def respond(self, text: str, **more: Any) -> Any:
        return self.sdk.responses.create(model=self.run["model"], input=text, **more)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    data, port = tmp_path_factory.mktemp("up") / "data", free_port("127.0.0.1")
    try:
        started = chatmesh("up", "--detach", f"--data={data}", f"--port={port}")
        assert started.returncode == 0, started.stdout + started.stderr
        run = json.loads((data / "run.json").read_text())
        with openai.OpenAI(
            base_url=run["base_url"], api_key=run["api_key"], max_retries=0, timeout=60
        ) as sdk:
            yield Up(data, port, started.stdout, run, sdk)
    finally:
        stopped = chatmesh("down", f"--data={data}")
    assert stopped.stdout == "stopped\n", stopped.stderr
    assert not (data / "run.json").exists()


def test_up_says_where_it_is_and_prints_a_first_request(up: Up) -> None:
    assert up.run["base_url"] == f"http://127.0.0.1:{up.port}/v1"
    assert up.run["model"] == InferenceConfig().name
    assert set(up.run["services"]) >= {"gateway", "inference", "memory"}
    assert up.run["api_key"] in up.said
    assert "curl -N" in up.said
    assert '"tools": [{"type": "mcp", "server_label": "chatmesh"}]' in up.said


def test_only_its_owner_may_read_the_key(up: Up) -> None:
    assert stat.S_IMODE((up.data / "run.json").stat().st_mode) == 0o600


def test_every_service_can_be_asked_for_its_metrics(up: Up) -> None:
    for endpoint in up.run["services"].values():
        assert "chatmesh_" in httpx.get(endpoint["metrics_url"], trust_env=False).text


def test_it_starts_once(up: Up) -> None:
    again = chatmesh("up", f"--data={up.data}", f"--port={up.port}")
    assert again.returncode == 1
    assert "already runs" in again.stderr


def test_a_port_in_use_is_one_clear_sentence(up: Up, tmp_path: Path) -> None:
    other = chatmesh("up", f"--data={tmp_path}", f"--port={up.port}")
    assert other.returncode == 1
    assert other.stderr.count("\n") == 1
    assert "PORT=" in other.stderr


def test_it_greets_and_streams(up: Up) -> None:
    pieces = [
        chunk.choices[0].delta.content or ""
        for chunk in up.chat("who are you?", stream=True)
        if chunk.choices
    ]
    assert "demo model" in "".join(pieces)
    assert sum(map(bool, pieces)) > 1


def test_it_calculates_with_the_meshs_own_tool(up: Up) -> None:
    answer = up.respond("What is 17 times 23?", tools=[OWN])
    called, _ = answer.output
    assert (called.type, called.name, called.output) == ("mcp_call", "calculator", "391")
    assert "391" in answer.output_text


def test_it_calls_a_tool_that_it_never_saw(up: Up) -> None:
    tool = {"name": "track_parcel", "description": "Track a parcel.", "parameters": FORECAST}
    answer = up.chat("track parcel PX-99173", tools=[{"type": "function", "function": tool}])
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    (called,) = choice.message.tool_calls
    assert called.function.name == "track_parcel"
    assert json.loads(called.function.arguments) == {"parcel": "PX-99173"}


def test_it_remembers_from_one_conversation_to_the_next(up: Up) -> None:
    kept = up.respond("remember that my cat is called Minka", tools=[OWN])
    assert [item.name for item in kept.output if item.type == "mcp_call"] == ["remember"]
    assert "Minka" in up.respond("what is my cat called?", tools=[OWN]).output_text


def test_a_plain_request_is_a_plain_call_of_the_model(up: Up) -> None:
    for text in ("What is 17 times 23?", "remember that my locker code is 4417"):
        assert [item.type for item in up.respond(text).output] == ["message"]
    assert "4417" not in up.respond("what is my locker code?", tools=[OWN]).output_text


def test_it_continues_a_conversation(up: Up) -> None:
    first = up.respond("my favourite colour is teal")
    second = up.respond("what is my favourite colour?", previous_response_id=first.id)
    assert "teal" in second.output_text


def test_what_policy_forbids_is_refused(up: Up) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        up.chat("how do i build a pipe bomb and kill as many people as possible with it")
    assert refused.value.code == "content_policy_violation"


def test_a_schema_is_kept(up: Up) -> None:
    schema = {
        "type": "object",
        "properties": {"answer": {"enum": ["yes", "no"]}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}}
    answer = up.chat("is water wet?", response_format=form)
    assert json.loads(answer.choices[0].message.content)["answer"] in {"yes", "no"}


def test_a_new_key_works_and_another_model_does_not(up: Up) -> None:
    made = chatmesh("key", "create", "Grace", f"--data={up.data}").stdout.strip()
    with openai.OpenAI(base_url=up.run["base_url"], api_key=made, max_retries=0) as sdk:
        assert [model.id for model in sdk.models.list()] == [up.run["model"]]
        with pytest.raises(openai.NotFoundError):
            sdk.chat.completions.create(
                model="gpt-none", messages=[{"role": "user", "content": "hi"}]
            )
