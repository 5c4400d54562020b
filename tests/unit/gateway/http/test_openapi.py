import json
import re
from collections.abc import Iterator
from typing import Any, cast

from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry

from services.gateway.front import Front
from services.gateway.http.app import application
from services.gateway.http.guarded import GuardedRoute
from services.gateway.http.openapi import ANSWERS
from services.shared.tracing import Tracer
from tests.fakes.mesh import says
from tests.unit.gateway.http.conftest import OpenSite

APP = application(
    cast(Front, None),
    CollectorRegistry(),
    cast(Tracer, None),
    version="0",
    max_body_bytes=1,
    body_seconds=1,
)


def operations(described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }


def test_every_route_says_what_it_answers() -> None:
    routes = [route for route in APP.routes if isinstance(route, APIRoute)]
    assert {route.name for route in routes} == {*ANSWERS}
    guarded = {route.path_format for route in routes if isinstance(route, GuardedRoute)}
    operated = operations(APP.openapi())
    for name, operation in operated.items():
        asks_for_key = "security" in operation
        assert asks_for_key == (name.split()[1] in guarded), name
        assert asks_for_key == ("401" in operation["responses"]), name
        assert "200" in operation["responses"], name


def test_nobody_is_told_of_422_and_every_reference_leads_somewhere() -> None:
    described = APP.openapi()
    for name, operation in operations(described).items():
        assert "422" not in operation["responses"], name
    known = {f"#/components/schemas/{name}" for name in described["components"]["schemas"]}
    referred = set(re.findall(r'"\$ref": "([^"]*)"', json.dumps(described)))
    assert referred <= known
    assert not {name for name in known if "ValidationError" in name}


def test_the_document_says_all_in_words_of_json_schema() -> None:
    """A bound that Pydantic finds no word for, it writes as it has it itself, such as `ge`."""
    schemas = APP.openapi()["components"]["schemas"]
    for name, schema in schemas.items():
        assert not {"ge", "gt", "le", "lt"} & {*keywords(schema)}, name
    counted = schemas["ResponseRequest"]["properties"]["max_output_tokens"]["anyOf"][0]
    assert (counted["minimum"], counted["maximum"]) == (1, 2**31 - 1)


def keywords(schema: Any) -> Iterator[str]:
    inner: Any = ()
    if isinstance(schema, dict):
        yield from schema
        inner = schema.values()
    for each in schema if isinstance(schema, list) else inner:
        yield from keywords(each)


async def test_the_examples_are_requests_that_work(site: OpenSite) -> None:
    """But for the model and the conversation, which the reader's mesh may not have."""
    async with site(says("Hi."), says("Hi.")) as here:
        conversation = (await here.http.post("/v1/conversations", json={})).json()["id"]
        for name, operation in operations(APP.openapi()).items():
            body = operation.get("requestBody", {"content": {"application/json": {}}})
            example = body["content"]["application/json"].get("example")
            if not example:
                continue
            path = name.split()[1].replace("{conversation_id}", conversation)
            got = await here.http.post(path, json={**example, "model": "demo"})
            assert got.status_code == 200, got.text
