import json
import re
from typing import Any, cast

import pytest
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from services.gateway.front import Front
from services.gateway.http.answers import ChatCompletionAnswer, ErrorEnvelope, ResponseAnswer
from services.gateway.http.app import application
from services.gateway.http.guarded import GuardedRoute
from services.gateway.http.openapi import ANSWERS
from services.shared.tracing import Tracer
from tests.fakes.mesh import says
from tests.unit.gateway.http.conftest import OpenSite
from tests.unit.gateway.http.test_bad_input import CHAT, RESPONSE

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


async def test_the_examples_are_requests_that_work(site: OpenSite) -> None:
    """But for the model, which the reader's mesh may not have."""
    async with site(says("Hi."), says("Hi.")) as here:
        for name, operation in operations(APP.openapi()).items():
            body = operation.get("requestBody", {"content": {"application/json": {}}})
            example = body["content"]["application/json"].get("example")
            if not example:
                continue
            got = await here.http.post(name.split()[1], json={**example, "model": "demo"})
            assert got.status_code == 200, got.text


async def test_real_answers_are_as_described(site: OpenSite) -> None:
    async with site(says("Hi."), says("Hi.")) as here:
        chat = (await here.http.post("/v1/chat/completions", json=CHAT)).json()
        response = (await here.http.post("/v1/responses", json=RESPONSE)).json()
        wrong = (await here.http.post("/v1/responses", json={})).json()
    ChatCompletionAnswer.model_validate(chat)
    assert ResponseAnswer.model_validate(response).output
    assert ErrorEnvelope.model_validate(wrong).error.param == "model"
    with pytest.raises(ValidationError):
        ResponseAnswer.model_validate({**response, "status": "done"})
