"""From 0.1.0 with what people had stored, as CHANGELOG says; and back to it."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cluster.site import MODEL, ROOT, Site, images, labelled, ready, values

pytestmark = [pytest.mark.timeout(1500)]
# The last commit of 0.1.0: its chart is taken from there, and `make released-images` builds it.
COMMIT, TAG = "8c10d44", "0.1.0"
STORES = {"memory": "memory", "context-assembly": "turns", "gateway": "gateway"}
COPY = "before-0.2.0"
SECRET_WORD = "quince"
REMEMBER = """
import asyncio
from services.memory.client import connect_memory
from services.shared.chat import Scope

async def remember():
    async with connect_memory("localhost:50055", timeout=10) as memory:
        await memory.remember(Scope("ada", "ada"), "Ada keeps a cat called {word}.")

asyncio.run(remember())
"""
RECALL = """
import asyncio
from services.memory.client import connect_memory
from services.shared.scope import Scope

async def recall():
    async with connect_memory("localhost:50055", timeout=10) as memory:
        for fact in await memory.list_facts(Scope("ada", "default", "ada")):
            print(fact.text)

asyncio.run(recall())
"""


def old_values() -> dict[str, Any]:
    """As 0.1.0 takes them: its images, and what both charts know."""
    prefix, _ = images()
    made = values(images={"tag": TAG})
    for pool in made["inference"]["pools"]:
        pool["image"] = f"{prefix}scripted:{TAG}"
    return made


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    told = subprocess.run(
        ["git", "-C", str(ROOT), "archive", COMMIT, "charts"], capture_output=True, check=False
    )
    if told.returncode:
        pytest.skip(f"needs the commit of {TAG}, {COMMIT}: this is a shallow clone")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=told.stdout, check=True)
    return folder / "charts" / "chatmesh"


@pytest.fixture(scope="module")
def mesh(here: Site, chart: Path) -> Iterator[Site]:
    """0.1.0 with a conversation and a fact of Ada's."""
    if not here.has_image(f"scripted:{TAG}"):
        pytest.skip(f"needs images of {TAG}: `make released-images`")
    here.helm("install", "--wait", "--timeout=600s", values=old_values(), chart=chart)
    command = ("python", "-m", "services", "key", "ada")
    here.key = here.kubectl("exec", "deployment/chatmesh-gateway", "--", *command).strip()
    assert here.key.startswith("cm_live_")
    said = REMEMBER.format(word=SECRET_WORD)
    here.kubectl("exec", "deployment/chatmesh-memory", "--", "python", "-c", said)
    yield here
    here.helm("uninstall", "--wait")


def asked(mesh: Site, text: str, previous: str = "") -> dict[str, Any]:
    body = {"model": MODEL, "input": text}
    if previous:
        body["previous_response_id"] = previous
    with mesh.forwarded() as address, client(mesh, address) as http:
        told = http.post("/v1/responses", json=body)
    assert told.status_code == 200, told.text
    answer: dict[str, Any] = told.json()
    return answer


def read(mesh: Site, response_id: str) -> httpx.Response:
    with mesh.forwarded() as address, client(mesh, address) as http:
        return http.get(f"/v1/responses/{response_id}")


def client(mesh: Site, address: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {mesh.key}"}
    return httpx.Client(base_url=address, headers=headers, trust_env=False, timeout=60)


def copied(mesh: Site) -> None:
    """Each store beside itself."""
    for service, file in STORES.items():
        code = (
            "import os, sqlite3\nos.chdir('/var/lib/chatmesh/store')\n"
            f"sqlite3.connect('{file}.sqlite').execute('VACUUM INTO ?', ['{COPY}'])"
        )
        mesh.kubectl("exec", f"deployment/chatmesh-{service}", "--", "python", "-c", code)


def brought_back(mesh: Site) -> None:
    for service, file in STORES.items():
        command = (
            f"cd /var/lib/chatmesh/store && mv {COPY} {file}.sqlite"
            f" && rm -f {file}.sqlite-wal {file}.sqlite-shm"
        )
        mesh.kubectl("exec", f"deployment/chatmesh-{service}", "--", "sh", "-c", command)


def version(mesh: Site) -> str:
    [pod] = mesh.until_pods(
        lambda pods: len(pods) == 1 and all(map(ready, pods.values())),
        label_selector=labelled("gateway"),
    ).values()
    image: str = pod.spec.containers[0].image
    return image.rpartition(":")[2]


@pytest.fixture(scope="module")
def first(mesh: Site) -> str:
    """The id of what Ada said to 0.1.0."""
    answer = asked(mesh, "say 3 words at 100 a second")
    assert "word word word" in str(answer)
    copied(mesh)
    return str(answer["id"])


def test_after_an_upgrade_keys_conversations_and_facts_are_there(mesh: Site, first: str) -> None:
    assert version(mesh) == TAG
    mesh.helm("upgrade", "--wait", "--timeout=600s", values=values())
    assert version(mesh) == images()[1]
    kept = read(mesh, first)
    assert "word word word" in kept.text
    # The engine does what it was last asked to, which 0.1.0 has kept.
    assert "word word word" in str(asked(mesh, "go on", first)["output"])
    facts = mesh.kubectl("exec", "deployment/chatmesh-memory", "--", "python", "-c", RECALL)
    assert SECRET_WORD in facts
    assert mesh.plugin("doctor") == "nothing is wrong\n"
    mesh.tell("0.1.0 -> this release: the key, a response, its continuation and a fact were there")


def test_helm_test_says_that_it_answers(mesh: Site, first: str) -> None:
    assert re.search(r"Phase:\s+Succeeded", mesh.helm("test", "--timeout=300s")), first


def test_back_at_0_1_0_is_what_was_copied(mesh: Site, first: str) -> None:
    brought_back(mesh)
    mesh.helm("rollback", "1", "--wait", "--timeout=600s")
    assert version(mesh) == TAG
    kept = read(mesh, first)
    assert kept.status_code == 200
    assert "word word word" in kept.text
