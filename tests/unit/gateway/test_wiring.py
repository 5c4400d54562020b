"""What only the wiring does: the secret under which keys are hashed, and which ports there are."""

import stat
import threading
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from services.gateway.config import GatewayConfig
from services.gateway.http.admin import TOKEN_HEADER
from services.gateway.http.server import HttpServer
from services.gateway.wiring import build, pepper
from services.shared.errors import CannotStart
from services.shared.store_url import StoreUrl

AT_ONCE = 8


def test_the_pepper_is_made_once_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "pepper"
    made = pepper(file)
    assert len(made) == 32
    assert pepper(file) == made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["pepper"]


def test_whoever_starts_at_the_same_time_reads_all_of_it(tmp_path: Path) -> None:
    for number in range(100):
        file = tmp_path / f"pepper{number}"
        found: list[bytes] = []
        begin = threading.Barrier(AT_ONCE)

        def start(file: Path, found: list[bytes], begin: threading.Barrier) -> None:
            begin.wait()
            found.append(pepper(file))

        threads = [
            threading.Thread(target=start, args=(file, found, begin)) for _ in range(AT_ONCE)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {*found} == {file.read_bytes()}
        assert len(found) == AT_ONCE


def test_an_empty_pepper_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pepper").touch()
    with pytest.raises(CannotStart, match="is empty"):
        pepper(tmp_path / "pepper")


def configured(folder: Path, token: bytes | None) -> GatewayConfig:
    if token is not None:
        (folder / "token").write_bytes(token)
    return GatewayConfig(
        http_address="127.0.0.1:0",
        admin_address="127.0.0.1:0",
        accounts_url=StoreUrl(f"sqlite:{folder}/gateway.sqlite"),
        pepper_file=folder / "pepper",
        admin_token_file=folder / "token",
    )


async def test_keys_are_administered_on_a_port_of_their_own_and_count_on_the_public_one(
    tmp_path: Path,
) -> None:
    config = configured(tmp_path, b"t" * 43)
    async with build(config, CollectorRegistry()) as served, httpx.AsyncClient() as http:
        admin, public = [each.url for each in served if isinstance(each, HttpServer)]
        shown = {TOKEN_HEADER: "t" * 43}
        path, asked = "/admin/v1/keys", {"name": "ada"}
        assert (await http.post(public + path, json=asked, headers=shown)).status_code == 404
        made = await http.post(admin + path, json=asked, headers=shown)
        bearer = {"authorization": f"Bearer {made.json()['key']}"}
        # The key is known there. No model is.
        assert (await http.get(f"{public}/v1/models", headers=bearer)).status_code == 503
        assert (await http.get(f"{admin}/v1/models", headers=bearer)).status_code == 404


@pytest.mark.parametrize("token", [None, b"", b"short"])
async def test_without_a_token_that_is_a_secret_the_gateway_does_not_start(
    tmp_path: Path, token: bytes | None
) -> None:
    with pytest.raises(CannotStart, match="admin token"):
        async with build(configured(tmp_path, token), CollectorRegistry()):
            pytest.fail("it started")
