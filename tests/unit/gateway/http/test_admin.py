"""The administration of keys on a real socket."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from services.gateway import keys
from services.gateway.adapters.in_memory import InMemoryAccounts
from services.gateway.admin_token import AdminToken
from services.gateway.api import InvalidKey
from services.gateway.authenticator import Authenticator
from services.gateway.http.admin import TOKEN_HEADER, admin_application
from services.gateway.http.server import serving_http
from services.gateway.key_issuer import KeyIssuer
from services.gateway.ports import Account, AccountKind
from services.shared.tracing import Tracer

SECRET = "a secret that is long enough for this"
KEYS, REVOKE = "/admin/v1/keys", "/admin/v1/keys/revoke"


@dataclass(slots=True)
class Desk:
    http: httpx.AsyncClient
    authenticator: Authenticator

    async def made(self, **wish: Any) -> str:
        answer = await self.http.post(KEYS, json=wish)
        assert answer.status_code == 201, answer.text
        key: str = answer.json()["key"]
        return key


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    accounts = InMemoryAccounts()
    authenticator = Authenticator(accounts, pepper=b"pepper")
    app = admin_application(
        KeyIssuer(accounts, authenticator),
        AdminToken(SECRET.encode),
        Tracer("test", otlp_endpoint="", sample_ratio=0),
    )
    async with (
        serving_http(app, "127.0.0.1:0") as server,
        httpx.AsyncClient(
            base_url=server.url, headers={TOKEN_HEADER: SECRET}, trust_env=False
        ) as http,
    ):
        yield Desk(http, authenticator)


async def test_keys_are_made_listed_and_revoked(desk: Desk) -> None:
    ada = await desk.made(name="Ada")
    shop = await desk.made(name="shop", kind="application", memory=True, instructions="Be brief.")
    assert (await desk.authenticator.authenticate(shop)).account == Account(
        "acct_shop", "shop", AccountKind.APPLICATION, "Be brief.", memory_write=True
    )
    listed = (await desk.http.get(KEYS)).json()["keys"]
    ids = [keys.parse(key).id for key in (ada, shop)]
    assert [(key["id"], key["account"], key["kind"], key["revoked"]) for key in listed] == [
        (ids[0], "Ada", "personal", False),
        (ids[1], "shop", "application", False),
    ]
    assert all(set(key) == {"id", "account", "kind", "created_at", "revoked"} for key in listed)
    told = (await desk.http.post(REVOKE, json={"key": ids[0]})).json()
    assert told == {"revoked": [{"id": ids[0], "account": "Ada"}]}
    with pytest.raises(InvalidKey):
        await desk.authenticator.authenticate(ada)
    told = (await desk.http.post(REVOKE, json={"account": "shop"})).json()
    assert told == {"revoked": [{"id": ids[1], "account": "shop"}]}
    assert (await desk.http.post(REVOKE, json={"account": "shop"})).json() == {"revoked": []}


@pytest.mark.parametrize("given", [None, "", "another secret, of which nobody knows", f"{SECRET}x"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", KEYS, None),
        ("POST", KEYS, {"name": "eve"}),
        ("POST", REVOKE, {"account": "Ada"}),
    ],
)
async def test_without_the_token_nothing_is_told_and_nothing_done(
    desk: Desk, given: str | None, method: str, path: str, body: object
) -> None:
    key = await desk.made(name="Ada")
    del desk.http.headers[TOKEN_HEADER]
    headers = {} if given is None else {TOKEN_HEADER: given}
    answer = await desk.http.request(method, path, json=body, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["error"]["message"] == "the admin token is missing or wrong"
    assert await desk.authenticator.authenticate(key)
    listed = (await desk.http.get(KEYS, headers={TOKEN_HEADER: SECRET})).json()["keys"]
    assert [one["account"] for one in listed] == ["Ada"]


async def test_an_api_key_is_no_admin_token(desk: Desk) -> None:
    key = await desk.made(name="Ada")
    del desk.http.headers[TOKEN_HEADER]
    for headers in ({TOKEN_HEADER: key}, {"authorization": f"Bearer {key}"}):
        assert (await desk.http.get(KEYS, headers=headers)).status_code == 403


async def test_the_body_of_a_stranger_is_not_read(desk: Desk) -> None:
    del desk.http.headers[TOKEN_HEADER]
    answer = await desk.http.post(KEYS, content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (KEYS, {}, "name"),
        (KEYS, {"name": ""}, "name"),
        (KEYS, {"name": "x" * 201}, "name"),
        (KEYS, {"name": 7}, "name"),
        (KEYS, {"name": ["ada"]}, "name"),
        (KEYS, {"name": "ada", "kind": "machine"}, "kind"),
        (KEYS, {"name": "ada", "memory": "yes"}, "memory"),
        (KEYS, {"name": "ada", "change_kind": None}, "change_kind"),
        (KEYS, {"name": "ada", "instructions": "x" * 32_001}, "instructions"),
        (KEYS, {"name": "ada", "scope": "admin"}, "scope"),
        (KEYS, [], None),
        (REVOKE, {}, None),
        (REVOKE, {"key": "abcdefgh", "account": "ada"}, None),
        (REVOKE, {"key": 1}, "key"),
    ],
)
async def test_a_wrong_field_is_named_and_not_repeated(
    desk: Desk, path: str, body: object, param: str | None
) -> None:
    answer = await desk.http.post(path, json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param
    assert (await desk.http.get(KEYS)).json() == {"keys": []}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"name": "--"}, "printable and has a letter"),
        ({"name": "local"}, "`make up` itself"),
        ({"name": "ADA"}, "too much like"),
        ({"name": "ada", "kind": "application"}, "--change-kind"),
    ],
)
async def test_what_the_issuer_refuses_is_told_in_its_sentence(
    desk: Desk, body: dict[str, str], said: str
) -> None:
    await desk.made(name="ada")
    answer = await desk.http.post(KEYS, json=body)
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "key_refused"
    assert said in answer.json()["error"]["message"]


async def test_a_key_that_is_not_there_is_not_revoked(desk: Desk) -> None:
    for body in ({"key": "abcdefgh"}, {"account": "nobody"}):
        answer = await desk.http.post(REVOKE, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "key_refused")


async def test_other_than_json_too_much_and_other_paths_are_refused(desk: Desk) -> None:
    assert (await desk.http.post(KEYS, data={"name": "ada"})).status_code == 415
    content = b'{"name": "ada", "instructions": "' + b"x" * 300_000 + b'"}'
    headers = {"content-type": "application/json"}
    assert (await desk.http.post(KEYS, content=content, headers=headers)).status_code == 413
    assert (await desk.http.post(KEYS, content=b"{", headers=headers)).status_code == 400
    assert (await desk.http.delete(KEYS)).status_code == 405
    for path in ("/", "/docs", "/openapi.json", "/metrics", "/v1/models", "/admin/v1/keys/x"):
        assert (await desk.http.get(path)).status_code == 404
