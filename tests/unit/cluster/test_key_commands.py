"""Keys as they are administered from afar, by the gateway's own application."""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import Result

from services.gateway import keys
from services.gateway.adapters.in_memory import InMemoryAccounts
from services.gateway.admin_token import AdminToken
from services.gateway.authenticator import Authenticator
from services.gateway.http.admin import admin_application
from services.gateway.http.server import serving_http
from services.gateway.key_issuer import KeyIssuer
from services.gateway.ports import Account, AccountKind
from services.shared.tracing import Tracer
from tests.fakes.kubernetes import ApiServer, Json
from tests.fakes.release import NAMESPACE, admin_service, labels
from tests.unit.cluster.test_commands import cells, kubeconfig, type_in

SECRET = "a secret that is long enough for this"
PORT = "chatmesh-gateway-admin:admin"


def token_secret(data: Json) -> Json:
    metadata = {
        "name": "chatmesh-admin-token",
        "namespace": NAMESPACE,
        "labels": labels("gateway"),
    }
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


@dataclass(slots=True)
class Desk:
    api: ApiServer
    authenticator: Authenticator
    config: Path

    async def typed(self, *words: str) -> Result:
        """On a thread of its own: the gateway answers on this one."""
        return await asyncio.to_thread(type_in, self.config, "key", *words)


@pytest.fixture
async def desk(api: ApiServer, tmp_path: Path) -> AsyncIterator[Desk]:
    accounts = InMemoryAccounts()
    authenticator = Authenticator(accounts, pepper=b"pepper")
    app = admin_application(
        KeyIssuer(accounts, authenticator),
        AdminToken(SECRET.encode),
        Tracer("test", otlp_endpoint="", sample_ratio=0),
    )
    encoded = base64.b64encode(SECRET.encode()).decode()
    api.add(admin_service(), token_secret({"token": encoded}))
    async with serving_http(app, "127.0.0.1:0") as server:
        api.behind[PORT] = server.url
        yield Desk(api, authenticator, kubeconfig(tmp_path / "config", api.url))


async def test_keys_are_made_listed_and_revoked(desk: Desk) -> None:
    made = await desk.typed("create", "Ada")
    assert made.exit_code == 0, made.output
    key = made.output.strip()
    assert (await desk.authenticator.authenticate(key)).account.name == "Ada"
    options = ("--application", "--memory", "--instructions", "Be brief.")
    shop = (await desk.typed("create", "shop", *options)).output.strip()
    assert (await desk.authenticator.authenticate(shop)).account == Account(
        "acct_shop", "shop", AccountKind.APPLICATION, "Be brief.", memory_write=True
    )
    ids = [keys.parse(one).id for one in (key, shop)]
    listed = await desk.typed("list")
    assert cells(listed.output, ids[0])[1:3] == ["Ada", "personal"]
    assert cells(listed.output, ids[1])[4] == "valid"
    revoked = await desk.typed("revoke", ids[0])
    assert revoked.output == f"revoked {ids[0]} of Ada\n"
    revoked = await desk.typed("revoke", "--account", "shop")
    assert revoked.output == f"revoked {ids[1]} of shop\n"
    again = await desk.typed("revoke", "--account", "shop")
    assert again.output == "revoked nothing: shop has no valid key\n"
    assert cells((await desk.typed("list")).output, ids[1])[4] == "revoked"


async def test_no_key_is_in_a_path_and_no_pod_is_reached(desk: Desk) -> None:
    """Paths are in the API server's audit log."""
    key = (await desk.typed("create", "Ada")).output.strip()
    assert (await desk.typed("revoke", key)).exit_code == 0
    paths = [path for _, path in desk.api.asked]
    assert not [path for path in paths if key in path or "/pods" in path]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "--", "--"), "an account's name is printable and has a letter"),
        (("create", "x" * 201), "name: String should have at most 200 characters"),
        (("create", "ada", "--application"), "with --change-kind it becomes"),
        (("revoke", "abcdefgh"), "there is no key abcdefgh"),
        (("revoke", "--account", "bob"), "no account is called 'bob'"),
    ],
)
async def test_what_the_gateway_refuses_is_told_in_one_sentence(
    desk: Desk, words: tuple[str, ...], said: str
) -> None:
    await desk.typed("create", "ada")
    ended = await desk.typed(*words)
    assert ended.exit_code == 1
    assert ended.output.startswith("Error: the gateway says: ")
    assert said in ended.output
    assert ended.output.count("\n") == 1


@pytest.mark.parametrize("words", [(), ("abcdefgh", "--account", "ada")])
async def test_what_shall_be_revoked_is_named_once(desk: Desk, words: tuple[str, ...]) -> None:
    assert (await desk.typed("revoke", *words)).exit_code == 2


async def test_another_token_than_the_gateways_is_refused(desk: Desk) -> None:
    desk.api.add(token_secret({"token": base64.b64encode(b"another").decode()}))
    ended = await desk.typed("list")
    assert ended.output == "Error: the gateway says: the admin token is missing or wrong\n"


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("gateway", "no gateway is ready: kubectl chatmesh doctor says why"),
        ("secret", "the secret chatmesh-admin-token, which holds the admin token, is not there"),
        ("key", "the secret chatmesh-admin-token has no key `token`"),
        ("service", "has no administration of keys"),
    ],
)
async def test_what_is_not_there_is_named(desk: Desk, missing: str, said: str) -> None:
    if missing == "gateway":
        del desk.api.behind[PORT]
    elif missing == "secret":
        desk.api.remove("secrets", "chatmesh-admin-token")
    elif missing == "key":
        desk.api.add(token_secret({"pepper": "eA=="}))
    else:
        desk.api.remove("services", "chatmesh-gateway-admin")
    for words in (("create", "ada"), ("list",), ("revoke", "abcdefgh")):
        ended = await desk.typed(*words)
        assert ended.exit_code == 1
        assert said in ended.output


@pytest.mark.parametrize("resource", ["secrets", "services/proxy/admin/v1/keys", "services"])
async def test_who_may_not_is_told_which_role_to_ask_for(desk: Desk, resource: str) -> None:
    desk.api.forbidden = {resource}
    ended = await desk.typed("create", "eve")
    assert ended.exit_code == 1
    assert ended.output.startswith("Error: you may not: ")
    assert "chatmesh-keys for API keys" in ended.output
