"""Every route is asked what is wrong, null, missing, huge, unknown or another's.

What is wrong is taken from the OpenAPI document: of some values, those that it forbids for a field.
What the document does not say, the rows below say. A route without a row fails.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator

from services.gateway.ports import Account, AccountKind
from tests.fakes.mesh import says
from tests.unit.gateway.http.conftest import MOST_BYTES, OpenSite, Site
from tests.unit.gateway.http.test_bad_input import CHAT, RESPONSE
from tests.unit.gateway.http.test_openapi import APP

Json = dict[str, Any]
ITEM = {"role": "user", "content": "hi"}
NOT_FOUND, NO_PARENT = "not_found", "previous_response_not_found"
IN_RESPONSE, IN_CONVERSATION = {"response_id": NOT_FOUND}, {"conversation_id": NOT_FOUND}


@dataclass(frozen=True, slots=True)
class Row:
    """A route, as it is asked rightly, and what stands for ids in it."""

    body: Mapping[str, Any] | None = None
    # Whether it may be sent without a body.
    may_be_empty: bool = False
    # The code of what is not there, by the path's parameter that names it; the innermost last.
    path: Mapping[str, str] = field(default_factory=dict)
    # The same, by the body's field.
    named: Mapping[str, str] = field(default_factory=dict)
    # Fields that may be anything.
    free: frozenset[str] = frozenset()


ROWS: Mapping[str, Row] = {
    "ChatCompletionRequest": Row(CHAT),
    "ResponseRequest": Row(
        RESPONSE, named={"previous_response_id": NO_PARENT, "conversation": NOT_FOUND}
    ),
    "CompactRequest": Row(
        RESPONSE, named={"previous_response_id": NO_PARENT}, free=frozenset({"stream"})
    ),
    "count_input_tokens": Row(
        RESPONSE, named={"previous_response_id": NO_PARENT, "conversation": NOT_FOUND}
    ),
    "get_response": Row(path=IN_RESPONSE),
    "delete_response": Row(path=IN_RESPONSE),
    "cancel_response": Row(path=IN_RESPONSE),
    "steer_response": Row({"input": "hi"}, path=IN_RESPONSE),
    "list_input_items": Row(path=IN_RESPONSE),
    "create_conversation": Row({"items": [ITEM], "metadata": {"a": "b"}}, may_be_empty=True),
    "list_conversations": Row(),
    "get_conversation": Row(path=IN_CONVERSATION),
    "update_conversation": Row({"metadata": {"a": "b"}}, path=IN_CONVERSATION),
    "delete_conversation": Row(path=IN_CONVERSATION),
    "add_items": Row({"items": [ITEM]}, path=IN_CONVERSATION),
    "list_items": Row(path=IN_CONVERSATION),
    "get_item": Row(path={**IN_CONVERSATION, "item_id": NOT_FOUND}),
    "delete_item": Row(path={**IN_CONVERSATION, "item_id": NOT_FOUND}),
    "list_models": Row(),
    "get_model": Row(path={"model": "model_not_found"}),
    "healthz": Row(),
    "readyz": Row(),
}
# Each field is given these, as far as the document forbids them there.
VALUES: tuple[Any, ...] = (
    *(7, -1, 10**40, True, "", "CANARY" * 400),
    *({"x": 1}, ["CANARY"], [None] * 3000, None),
)
# The same in a query.
WORDS = ("CANARY", "-1", "0", "1e400", str(10**40), "CANARY" * 500)
UNKNOWN = ("none", "resp_none", "conv_1", "x" * 5000, "a%00b", "%F0%9F%99%82")
DOCUMENT: Json = APP.openapi()
ROUTES = {route.name: route for route in APP.routes if isinstance(route, APIRoute)}


def operation(name: str) -> Json:
    (method,) = ROUTES[name].methods
    found: Json = DOCUMENT["paths"][ROUTES[name].path_format][method.lower()]
    return found


@cache
def body_schema(name: str) -> Json | None:
    body = operation(name).get("requestBody")
    if body is None:
        return None
    schema = body["content"]["application/json"]["schema"]
    (wanted,) = [each for each in (schema, *schema.get("anyOf", ())) if "$ref" in each]
    found: Json = DOCUMENT["components"]["schemas"][wanted["$ref"].rpartition("/")[2]]
    return found


def forbids(schema: Json, value: object) -> bool:
    whole = {**schema, "components": DOCUMENT["components"]}
    return not Draft202012Validator(whole).is_valid(value)


def wrong_bodies(name: str) -> Iterator[tuple[str, Json]]:
    """Bodies with one wrong field each, and its name."""
    schema, row = body_schema(name), ROWS[name]
    assert schema is not None
    assert row.body is not None
    for given, wanted in schema["properties"].items():
        for value in VALUES:
            if forbids(wanted, value):
                yield given, {**row.body, given: value}
    for missing in schema.get("required", ()):
        yield missing, {key: value for key, value in row.body.items() if key != missing}


@dataclass(frozen=True, slots=True)
class Owned:
    """What Ada has, and a key of somebody else's."""

    ids: Mapping[str, str]
    stranger: str


async def owned(site: Site) -> Owned:
    response = (await site.http.post("/v1/responses", json=RESPONSE)).json()["id"]
    chat = (await site.http.post("/v1/conversations", json={"items": [ITEM]})).json()["id"]
    listed = await site.http.get(f"/v1/conversations/{chat}/items")
    eve = await site.mesh.authenticator.create_key(Account("acct_2", "Eve", AccountKind.PERSONAL))
    ids = {
        "response_id": response,
        "previous_response_id": response,
        "conversation_id": chat,
        "conversation": chat,
        "item_id": listed.json()["first_id"],
        "model": "demo",
    }
    return Owned(ids, f"Bearer {eve}")


async def ask(site: Site, name: str, ids: Mapping[str, str], **more: Any) -> httpx.Response:
    """Asks the route; `ids` are those of its path."""
    (method,) = ROUTES[name].methods
    path = ROUTES[name].path_format.format(**ids)
    if "json" not in more and "content" not in more and ROWS[name].body is not None:
        more["json"] = ROWS[name].body
    got: httpx.Response = await site.http.request(method, path, **more)
    return got


def check_refused(name: str, got: httpx.Response, statuses: set[int]) -> Json:
    """The error, in OpenAI's envelope, with a status of which the document knows."""
    assert got.status_code in statuses, (name, got.request.content[:200], got.text[:300])
    assert str(got.status_code) in operation(name)["responses"], (name, got.status_code)
    error: Json = got.json()["error"]
    assert got.json().keys() == {"error"}
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert "CANARY" not in got.text, name
    return error


def check_named(error: Json, wanted: str, sent: object) -> None:
    """The field's own name comes first, whatever in it is wrong; and a reader of the message alone
    learns it too.
    """
    param = error["param"] or ""
    assert param.partition(".")[0].partition("[")[0] == wanted, (error, str(sent)[:200])
    assert param in error["message"]
    assert error["code"] == "invalid_value"


def test_every_route_has_a_row() -> None:
    assert {*ROUTES} == {*ROWS}
    for name, route in ROUTES.items():
        assert {*route.param_convertors} == {*ROWS[name].path}, name
        assert (body_schema(name) is None) == (ROWS[name].body is None), name


WITH_BODIES = [name for name, row in ROWS.items() if row.body is not None]


@pytest.mark.parametrize("name", WITH_BODIES)
async def test_a_wrong_missing_null_or_huge_field_is_named(site: OpenSite, name: str) -> None:
    tried: dict[str, int] = {}
    async with site(says("Hi.")) as here:
        ids = (await owned(here)).ids
        for given, body in wrong_bodies(name):
            error = check_refused(name, await ask(here, name, ids, json=body), {400})
            check_named(error, given, body)
            tried[given] = tried.get(given, 0) + 1
    schema = body_schema(name)
    assert schema is not None
    assert schema["properties"].keys() - tried.keys() == ROWS[name].free


@pytest.mark.parametrize("name", WITH_BODIES)
async def test_a_body_that_is_no_object_is_refused(site: OpenSite, name: str) -> None:
    async with site(says("Hi.")) as here:
        ids = (await owned(here)).ids
        headers = {"content-type": "application/json"}
        empty = () if ROWS[name].may_be_empty else (b"", b"null", b"{}")
        for content in (b"{", b"[]", b'"CANARY"', b"7", b"true", *empty):
            got = await ask(here, name, ids, content=content, headers=headers)
            check_refused(name, got, {400})
        got = await ask(here, name, ids, content=b" " * (MOST_BYTES + 1), headers=headers)
        check_refused(name, got, {413})
        got = await ask(here, name, ids, content=b"{}", headers={"content-type": "text/plain"})
        check_refused(name, got, {415})


def queried(name: str) -> dict[str, Json]:
    """The parameters of a route's query, by name."""
    parameters = operation(name).get("parameters", ())
    return {each["name"]: each["schema"] for each in parameters if each["in"] == "query"}


WITH_QUERIES = [name for name in ROWS if queried(name)]


def wrong_words(wanted: Json) -> Iterator[str]:
    words = [word for word in WORDS if word != "0" or wanted.get("type") != "boolean"]
    for word in words:
        number = int(word) if word.lstrip("-").isdigit() else None
        if forbids(wanted, word if number is None else number) and forbids(wanted, word):
            yield word


@pytest.mark.parametrize("name", WITH_QUERIES)
async def test_a_wrong_or_huge_parameter_is_named(site: OpenSite, name: str) -> None:
    tried = set()
    async with site(says("Hi.")) as here:
        ids = (await owned(here)).ids
        for given, wanted in queried(name).items():
            # What a page begins behind is the id of something, so no word is wrong by its form.
            words = ("x", "CANARY" * 500) if given == "after" else wrong_words(wanted)
            for word in words:
                got = await ask(here, name, ids, params={given: word})
                assert check_refused(name, got, {400})["param"].startswith(given)
                tried.add(given)
    assert tried == queried(name).keys()


WITH_PATHS = [name for name, row in ROWS.items() if row.path]


@pytest.mark.parametrize("name", WITH_PATHS)
async def test_what_is_unknown_or_anothers_is_not_there(site: OpenSite, name: str) -> None:
    """The answer is the same, so that nobody learns what others have."""
    async with site(says("Hi.")) as here:
        has = await owned(here)
        for parameter, code in ROWS[name].path.items():
            answers = set()
            for unknown in UNKNOWN:
                got = await ask(here, name, {**has.ids, parameter: unknown})
                error = check_refused(name, got, {404})
                assert (error["code"], error["param"]) == (code, parameter)
                answers.add(got.text)
            if parameter != "model":  # models are everybody's
                eve = {"authorization": has.stranger}
                answers.add((await ask(here, name, has.ids, headers=eve)).text)
            if parameter != "item_id":  # whose conversation is another's, never gets so far
                assert len(answers) == 1
        # And it is there for its owner, whatever a stranger has tried.
        for kept in ("get_response", "get_conversation", "get_item"):
            assert (await ask(here, kept, has.ids)).status_code == 200


WITH_IDS = [(name, each) for name, row in ROWS.items() for each in row.named]


@pytest.mark.parametrize(("name", "given"), WITH_IDS)
async def test_what_a_body_names_and_is_unknown_or_anothers_is_not_there(
    site: OpenSite, name: str, given: str
) -> None:
    async with site(says("Hi.")) as here:
        has, answers = await owned(here), set()
        body = {**(ROWS[name].body or {})}
        for unknown in ("none", "resp_none", "conv_1", "x" * 5000, "a\0b", "\U0001f642"):
            got = await ask(here, name, {}, json={**body, given: unknown})
            error = check_refused(name, got, {404})
            assert (error["code"], error["param"]) == (ROWS[name].named[given], given)
            answers.add(got.text)
        eve = {"authorization": has.stranger}
        anothers = {**body, given: has.ids[given]}
        answers.add((await ask(here, name, {}, json=anothers, headers=eve)).text)
        assert len(answers) == 1


async def test_an_item_of_anothers_response_is_not_there(site: OpenSite) -> None:
    async with site(says("Hi.")) as here:
        has = await owned(here)
        stored = (await ask(here, "get_response", has.ids)).json()["output"][0]["id"]
        eve = {"authorization": has.stranger}
        for name in ("ResponseRequest", "CompactRequest", "count_input_tokens"):
            answers = set()
            for item_id, headers in (("msg_none", {}), (stored, eve)):
                body = {"model": "demo", "input": [{"type": "item_reference", "id": item_id}]}
                got = await ask(here, name, {}, json=body, headers=headers)
                assert check_refused(name, got, {400})["param"] == "input[0]"
                answers.add(got.text)
            assert len(answers) == 1
