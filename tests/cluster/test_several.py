"""Three gateways and two of every other service, their stores on servers, under load and faults.

`values-ha.yaml` with less asked of the node, k8s/stores' one pod of Redis and PostgreSQL with
images of our own (`make stores-images`). Streams are Responses: who loses one reads on.
"""

import asyncio
import os
import secrets
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
import yaml
from kubernetes.utils.quantity import parse_quantity

from tests.cluster.site import (
    CHART,
    ROOT,
    Site,
    Traffic,
    Values,
    image,
    images,
    merged,
    ready,
    scripted_pool,
)
from tests.cluster.test_faults import KILL, remove, replaced, restarted

pytestmark = [pytest.mark.timeout(1500)]
STREAMS = 50
# More slots than streams, also while a replica is replaced and wherever a gateway sends what it has
# to send: a silence is then the mesh's own, and no wait for a slot.
REPLICAS, SLOTS = 8, 16
# Moderation shows 40 words at a time: here that takes 2.7 s, without any fault. Much slower, it
# alone is a silence of 5 s; much faster, two processors cannot keep up.
ASK = "first compute 17 * 23, then say 240 words at 15 a second"
SERVICES = ("gateway", "context-assembly", "memory", "tokenizer", "moderation", "tool-runner")
# The part of what values-ha.yaml asks of a node's processors: when many processes start at once,
# what serves has its share as there.
OF_PROCESSORS = Decimal("0.05")
POOL = "inference-scripted"
# A client's deadline for a stream to go on.
PATIENCE_SECONDS = 30
LONGEST_SILENCE_SECONDS = 5
VECTOR = "CREATE EXTENSION IF NOT EXISTS vector;"
# Of each store, on which every turn waits.
SMALL = {"requests": {"cpu": "50m", "memory": "64Mi"}}
SECRETS = {
    "gateway": "chatmesh-accounts",
    "context-assembly": "chatmesh-turns",
    "memory": "chatmesh-facts",
}


def pool(**changes: Any) -> Values:
    return scripted_pool(replicas=REPLICAS, engineArgs={"max_num_seqs": SLOTS}, **changes)


def ha_values() -> Values:
    made: Values = yaml.safe_load((CHART / "values-ha.yaml").read_text())
    prefix, tag = images()
    whole = merged(yaml.safe_load((CHART / "values.yaml").read_text()), made)
    made = merged(made, {"images": {"prefix": prefix, "tag": tag, "pullPolicy": "IfNotPresent"}})
    for service in SERVICES:
        replicas = 3 if service == "gateway" else 2
        asked = parse_quantity(whole[service]["resources"]["requests"]["cpu"]) * OF_PROCESSORS
        resources = {"requests": {"cpu": str(asked), "memory": "64Mi"}}
        made = merged(made, {service: {"replicas": replicas, "resources": resources}})
    return merged(made, {"inference": {"pools": [pool()]}})


def manifests(name: str, namespace: str, own: dict[str, str]) -> list[Any]:
    """Those of k8s/stores, in this namespace, with our images and as little as there is."""
    text = (ROOT / "k8s" / "stores" / f"{name}.yaml").read_text()
    found = [each for each in yaml.safe_load_all(text) if each]
    for each in found:
        each["metadata"]["namespace"] = namespace
        for container in (
            each.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ())
        ):
            container["image"] = own[container["name"]]
            container["resources"] = SMALL
        # Debian's PostgreSQL has no pgvector; vectors are bytes there.
        script = each.get("stringData", {}).get("role.sql", "")
        if script:
            each["stringData"]["role.sql"] = script.replace(VECTOR, "")
        for claim in each.get("spec", {}).get("volumeClaimTemplates", ()):
            claim["spec"]["resources"]["requests"]["storage"] = "1Gi"
    return found


def stores(here: Site) -> None:
    """PostgreSQL and Redis, ready, and the secrets that values-ha.yaml names."""
    own = {"postgres": image("postgres"), "redis": image("redis")}
    password = secrets.token_hex(8)
    here.kubectl("create", "secret", "generic", "redis", f"--from-literal=password={password}")
    redis = f"redis://:{password}@redis.{here.namespace}.svc:6379/0"
    given = [
        each
        for name in ("redis", "postgres-trial")
        for each in manifests(name, here.namespace, own)
    ]
    for each in given:
        here.apply(each)
    server = f"postgres-trial.{here.namespace}.svc:5432"
    urls = dict.fromkeys(SECRETS.values(), f"postgresql://mesh:replace-this-too@{server}/mesh")
    for name, url in (urls | {"chatmesh-streams": redis}).items():
        here.kubectl("create", "secret", "generic", name, f"--from-literal=url={url}")
    for label in ("app.kubernetes.io/name=redis", "app=postgres-trial"):
        here.until_pods(
            lambda pods: bool(pods) and all(map(ready, pods.values())), label_selector=label
        )


@pytest.fixture(scope="module")
def mesh(here: Site) -> Iterator[Site]:
    for name in ("postgres", "redis"):
        if not here.has_image(image(name)):
            pytest.skip(f"needs the image {image(name)}: `make stores-images`")
    stores(here)
    here.install(ha_values())
    yield here
    here.helm("uninstall", "--wait")


def judged(mesh: Site, what: str, traffic: Traffic) -> None:
    assert traffic.failures() == []
    mesh.tell(
        f"{what}: 0 of {len(traffic.turns)} turns failed, {traffic.resumed} streams were read on, "
        f"longest silence {traffic.longest_silence:.1f} s, longest wait to be taken "
        f"{traffic.longest_wait:.1f} s"
    )
    silent = sorted(traffic.turns, key=lambda turn: turn.silence, reverse=True)[:10]
    assert traffic.longest_silence <= LONGEST_SILENCE_SECONDS, "\n".join(map(str, silent))


def names(mesh: Site, component: str) -> Sequence[str]:
    return [pod.name for pod in mesh.replicas(component)]


async def test_undisturbed_turns_end_well(mesh: Site) -> None:
    """The control: what silence there is without any fault."""
    async with mesh.traffic(STREAMS, ASK, resume=True) as traffic:
        await traffic.finished(2 * STREAMS)
    assert traffic.resumed == 0
    served = [
        pod.metrics.total("chatmesh_http_first_byte_seconds_count")
        for pod in mesh.replicas("gateway")
    ]
    assert len(served) == 3
    assert min(served) > 0, "the load went to some gateways alone"
    judged(mesh, "no fault", traffic)


async def test_an_upgrade_to_a_new_image_is_noticed_by_nobody(mesh: Site) -> None:
    prefix, _ = images()
    tag = os.environ["NEXT_TAG"]
    new = merged(ha_values(), {"images": {"tag": tag}})
    new["inference"]["pools"] = [pool(image=f"{prefix}scripted:{tag}")]
    before = {component: set(names(mesh, component)) for component in (*SERVICES, POOL)}
    async with mesh.traffic(STREAMS, ASK, patience=PATIENCE_SECONDS, resume=True) as traffic:
        await traffic.finished(STREAMS)
        await asyncio.to_thread(mesh.helm, "upgrade", "--wait", "--timeout=600s", values=new)
        for component in before:
            await asyncio.to_thread(mesh.settled, component)
        await traffic.finished(STREAMS)
    for component, old in before.items():
        assert not old & set(names(mesh, component)), f"{component} was not replaced"
    judged(mesh, "upgrade with a new image, all seven services", traffic)


async def test_each_pod_evicted_is_noticed_by_nobody(mesh: Site) -> None:
    async with mesh.traffic(STREAMS, ASK, patience=PATIENCE_SECONDS, resume=True) as traffic:
        await traffic.finished(STREAMS)
        evicted = 0
        for component in (*SERVICES, POOL):
            for victim in names(mesh, component):
                await asyncio.to_thread(remove, mesh, victim, "evict")
                await asyncio.to_thread(replaced, mesh, component, victim)
                evicted += 1
        await traffic.finished(STREAMS)
    assert evicted == 3 + 2 * (len(SERVICES) - 1) + REPLICAS
    judged(mesh, f"{evicted} pods evicted, one after the other", traffic)


async def test_each_process_killed_loses_no_stream(mesh: Site) -> None:
    """But for inference's: its streams fail over by another way."""
    async with mesh.traffic(STREAMS, ASK, patience=PATIENCE_SECONDS, resume=True) as traffic:
        await traffic.finished(STREAMS)
        killed = 0
        for component in SERVICES:
            for pod in mesh.replicas(component):
                await asyncio.to_thread(mesh.kubectl, "exec", pod.name, "--", "python", "-c", KILL)
                await asyncio.to_thread(restarted, mesh, component, pod.name, pod.restarts)
                killed += 1
                # One fault at a time: a stream that lost its gateway ends before the next is lost.
                await traffic.finished(STREAMS)
    assert killed == 3 + 2 * (len(SERVICES) - 1)
    judged(mesh, f"{killed} processes killed, one after the other", traffic)
