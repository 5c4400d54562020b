"""How the schemas of a body are checked; what is refused over HTTP is in test_bad_input.py."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from services.gateway.http.chat.request import ChatCompletionRequest
from services.gateway.http.responses.request import ResponseRequest
from services.gateway.schemas import SchemaChecks
from services.shared.errors import Malformed

HI = [{"role": "user", "content": "hi"}]
NESTED = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}}


def chat(*schemas: object, **fields: object) -> ChatCompletionRequest:
    tools = [
        {"type": "function", "function": {"name": f"f{number}", "parameters": schema}}
        for number, schema in enumerate(schemas)
    ]
    body = {"model": "demo", "messages": HI, "tools": tools, **fields}
    return ChatCompletionRequest.model_validate(body)


def response(**fields: object) -> ResponseRequest:
    return ResponseRequest.model_validate({"model": "demo", "input": "hi", **fields})


def chat_format(schema: object) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}


WRONG = {"type": "object", "properties": {"a": {"type": "no such type"}}}
NAMED = [
    (chat(NESTED, WRONG), "tools[1].function.parameters"),
    (chat(response_format=chat_format(WRONG)), "response_format.json_schema.schema"),
    (
        response(tools=[{"type": "function", "name": "f", "parameters": WRONG}]),
        "tools[0].parameters",
    ),
    (
        response(text={"format": {"type": "json_schema", "name": "n", "schema": WRONG}}),
        "text.format.schema",
    ),
]


class Checked:
    """The threads in which schemas were checked since the last look."""

    def __init__(self) -> None:
        self._threads: list[int] = []

    def check(self, schema: Any) -> None:
        self._threads.append(threading.get_ident())
        Draft202012Validator.check_schema(schema)

    def since(self) -> list[int]:
        threads, self._threads = self._threads, []
        return threads


@pytest.fixture
def checked() -> Checked:
    return Checked()


@pytest.mark.parametrize(("body", "field"), NAMED, ids=[field for _, field in NAMED])
async def test_a_schema_that_is_none_is_named(body: Any, field: str) -> None:
    checks = SchemaChecks()
    for _ in range(2):
        with pytest.raises(Malformed) as refused:
            await checks.check(body)
        assert refused.value.details == {"param": field, "code": "invalid_value"}
        assert refused.value.message.startswith(f"{field}: is not a JSON Schema: anyOf is violated")


def test_reading_a_body_checks_no_schema() -> None:
    assert chat(WRONG).tools


async def test_schemas_are_checked_beside_the_loop(checked: Checked) -> None:
    body = chat(NESTED, {"type": "object"})
    await SchemaChecks(checked.check).check(body)
    threads = checked.since()
    assert len(threads) == 2
    assert threading.get_ident() not in threads


async def test_a_schema_is_checked_once_and_only_its_digest_is_kept(checked: Checked) -> None:
    checks = SchemaChecks(checked.check)
    for _ in range(3):
        await checks.check(chat(NESTED, NESTED))
    assert len(checked.since()) == 1
    for number in range(5000):
        checks._good[number.to_bytes(16, "big")] = True
    assert {len(kept) for kept in checks._good} == {16}
    assert len(checks._good) == 4096
    await checks.check(chat(NESTED))
    assert len(checked.since()) == 1


async def test_a_body_without_schemas_needs_no_thread(checked: Checked) -> None:
    body = response(input=[{"type": "message", "role": "user", "content": "hi"}] * 100)
    await SchemaChecks(checked.check).check(body)
    assert checked.since() == []


async def test_schemas_that_are_too_long_together_are_refused_unchecked(checked: Checked) -> None:
    long = {"type": "object", "description": "x" * 100_000}
    with pytest.raises(Malformed, match="more than 262144 bytes") as refused:
        await SchemaChecks(checked.check).check(chat(long, long, long))
    assert refused.value.details["param"] == "tools[2].function.parameters"
    assert checked.since() == []


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\p{L}+$",
        r"[\w-.]+",
        r"(?<year>\d{4})-\k<year>",
        r"(?<=a+)b",
        r"\cA",
        "a{99999999999}",
        "(",
    ],
)
async def test_a_pattern_may_be_one_that_only_javascript_reads(pattern: str) -> None:
    await SchemaChecks().check(chat({"type": "object", "patternProperties": {pattern: {}}}))
    await SchemaChecks().check(chat({"properties": {"a": {"pattern": pattern}}}))


async def test_what_is_nested_too_deeply_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(400):
        deep = {"items": deep}
    with pytest.raises(Malformed, match="nested too deeply"):
        await SchemaChecks().check(chat(deep))


class Watched(SchemaChecks):
    """Says when the thread that checks has ended."""

    ended = threading.Event()

    def _check_all(self, schemas: Sequence[tuple[str, bytes]], left: threading.Event) -> None:
        super()._check_all(schemas, left)
        self.ended.set()


async def test_who_leaves_stops_the_check_at_the_next_schema() -> None:
    begun, go_on = threading.Event(), threading.Event()
    seen = []

    def slow(schema: Any) -> None:
        seen.append(schema)
        begun.set()
        go_on.wait(5)

    checks = Watched(slow)
    checking = asyncio.create_task(checks.check(chat({"a": 1}, {"b": 1})))
    assert await asyncio.to_thread(begun.wait, 5)
    checking.cancel()
    await asyncio.wait([checking])
    go_on.set()
    assert await asyncio.to_thread(checks.ended.wait, 5)
    assert seen == [{"a": 1}]
