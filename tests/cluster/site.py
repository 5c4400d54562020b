"""A namespace of its own on the cluster that KUBECONFIG names, and what a test does to it."""

import asyncio
import json
import os
import re
import secrets
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config, watch

from loadtest.traffic import Turn
from services.cluster.view import Cluster, Pod

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "chatmesh"
RELEASE = "chatmesh"
MODEL = "scripted"
Values = dict[str, Any]


def images() -> tuple[str, str]:
    """Prefix and tag of the images that `make cluster-images` built."""
    return os.environ.get("IMAGES", "chatmesh/"), os.environ["TAG"]


def image(name: str) -> str:
    prefix, tag = images()
    return f"{prefix}{name}:{tag}"


def run(*command: str, timeout: float = 900, given: str | None = None) -> str:
    """What it printed; fails with what it complained of."""
    # Without what readline, which pytest loads, has put into the process's: the width of a window.
    environment = dict(os.environ)
    done = subprocess.run(
        command,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env=environment,
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(command[:6])}: {done.stderr.strip() or done.stdout}")
    return done.stdout


def scripted_pool(name: str = "scripted", **changes: Any) -> Values:
    """A pool of the scripted engine: eight slots a replica, ready at once."""
    return {
        "name": name,
        "model": {
            "name": MODEL,
            "source": {"bundled": True},
            "contextTokens": 4096,
            "callsTools": True,
        },
        "replicas": 2,
        "image": image("scripted"),
        "config": {"grace_seconds": 60, "drain_seconds": 3},
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
        "loadSeconds": 60,
    } | changes


def local_values() -> Values:
    """values-local.yaml, as it is but for where the images are."""
    made: Values = yaml.safe_load((CHART / "values-local.yaml").read_text())
    prefix, tag = images()
    return merged(made, {"images": {"prefix": prefix, "tag": tag}})


def values(**changes: Any) -> Values:
    """values-local.yaml with the scripted pool, and two replicas of what may have them."""
    made = local_values()
    for service in ("tokenizer", "moderation", "tool-runner"):
        made[service]["replicas"] = 2
    made["inference"]["pools"] = [scripted_pool()]
    return merged(made, changes)


def merged(values: Values, changes: Mapping[str, Any]) -> Values:
    """As Helm merges values files: deep in mappings, whole in lists."""
    made = dict(values)
    for key, change in changes.items():
        old = made.get(key)
        both = isinstance(old, dict) and isinstance(change, Mapping)
        made[key] = merged(old or {}, change) if both else change
    return made


def labelled(component: str) -> str:
    """The label selector of its pods."""
    return f"app.kubernetes.io/name=chatmesh,app.kubernetes.io/component={component}"


def ready(pod: Any) -> bool:
    conditions = pod.status.conditions or ()
    return any(one.type == "Ready" and one.status == "True" for one in conditions)


@dataclass(slots=True)
class Site:
    """One namespace; it and all in it goes with the test."""

    namespace: str
    core: client.CoreV1Api
    cluster: Cluster
    key: str = ""
    told: list[str] = field(default_factory=list)

    def tell(self, line: str) -> None:
        """For the table at the run's end."""
        self.told.append(line)

    def kubectl(self, *arguments: str) -> str:
        return run("kubectl", "-n", self.namespace, *arguments)

    def apply(self, manifest: Mapping[str, Any]) -> None:
        given = json.dumps(manifest)
        run("kubectl", "-n", self.namespace, "apply", "-f", "-", given=given)

    def helm(
        self, verb: str, *options: str, values: Values | None = None, chart: Path = CHART
    ) -> str:
        """`helm VERB chatmesh`, with the chart where the verb takes one."""
        command = ["helm", verb, RELEASE]
        if verb in {"install", "upgrade"}:
            command += [str(chart)]
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            if values is not None:
                yaml.safe_dump(values, file)
                file.flush()
                command += ["-f", file.name]
            return run(*command, "-n", self.namespace, *options)

    def install(self, values: Values) -> None:
        self.helm("install", "--wait", "--timeout=600s", values=values)
        self.key = self.plugin("key", "create", "tests", "--application").strip()

    def plugin(self, *arguments: str) -> str:
        """`kubectl chatmesh`."""
        command = [str(ROOT / ".venv/bin/kubectl-chatmesh"), "-n", self.namespace, *arguments]
        return run(*command)

    def has_image(self, ending: str) -> bool:
        """Whether some node has an image whose name ends so."""
        nodes = self.core.list_node().items
        found = [one for node in nodes for one in node.status.images or ()]
        # One that another of the same name has replaced has none any more.
        return any(name.endswith(ending) for one in found for name in one.names or ())

    @contextmanager
    def forwarded(self) -> Iterator[str]:
        """The gateway's address on this machine, as Helm's notes say."""
        command = ["kubectl", "-n", self.namespace, "port-forward", f"service/{RELEASE}", ":80"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                told = process.stdout.readline()
                found = re.search(r"Forwarding from (127\.0\.0\.1:\d+)", told)
                assert found, told
                yield f"http://{found[1]}"
            finally:
                process.terminate()

    def replicas(self, component: str) -> Sequence[Pod]:
        """Those that are not leaving."""
        found = self.cluster.view().component(component)
        assert found is not None, component
        return [pod for pod in found.pods if pod.phase != "Terminating"]

    def scale(self, component: str, replicas: int) -> None:
        self.kubectl("scale", f"deployment/{RELEASE}-{component}", f"--replicas={replicas}")

    def settled(self, component: str) -> None:
        """Returns when its rollout is over and pods that leave have left."""
        self.kubectl("rollout", "status", f"deployment/{RELEASE}-{component}", "--timeout=300s")
        wanted = self.cluster.view().component(component)
        assert wanted is not None
        self.until_pods(
            lambda pods: len(pods) == wanted.workload.wanted, label_selector=labelled(component)
        )

    def until_pods(
        self, good: Callable[[Mapping[str, Any]], bool], seconds: int = 300, **selector: str
    ) -> Mapping[str, Any]:
        """The pods by name, as soon as they are so; every change is looked at."""
        found = self.core.list_namespaced_pod(self.namespace, **selector)
        pods = {pod.metadata.name: pod for pod in found.items}
        if good(pods):
            return pods
        changes = watch.Watch().stream(
            self.core.list_namespaced_pod,
            self.namespace,
            **selector,
            resource_version=found.metadata.resource_version,
            timeout_seconds=seconds,
        )
        for change in changes:
            pod = change["object"]
            pods[pod.metadata.name] = pod
            if change["type"] == "DELETED":
                del pods[pod.metadata.name]
            if good(pods):
                return pods
        states = {name: pod.status.phase for name, pod in pods.items()}
        raise AssertionError(f"after {seconds} s the pods of {selector} are still {states}")

    @asynccontextmanager
    async def traffic(
        self,
        streams: int,
        ask: str,
        *,
        patience: float = 0,
        model: str = MODEL,
        resume: bool = False,
        at: str = f"http://{RELEASE}",
    ) -> AsyncIterator["Traffic"]:
        """Conversations side by side from a pod of the cluster; they end with the block."""
        command = ("python", "-m", "loadtest.traffic", at, "--key", self.key)
        options = ("--streams", str(streams), "--ask", ask, "--patience", str(patience))
        process = await asyncio.create_subprocess_exec(
            *("kubectl", "-n", self.namespace, "exec", "-i", "traffic", "--"),
            *(*command, *options, "--model", model, *(["--resume"] if resume else [])),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        traffic = Traffic(process)
        reading = asyncio.create_task(traffic.read())
        try:
            yield traffic
            await traffic.stop()
            await asyncio.wait_for(reading, 120)
        finally:
            if process.returncode is None:
                process.kill()
            reading.cancel()


class Traffic:
    """What became of the turns of one load."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._more = asyncio.Condition()
        self.turns: list[Turn] = []

    async def read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            async with self._more:
                self.turns.append(Turn(**json.loads(line)))
                self._more.notify_all()

    async def stop(self) -> None:
        """Begins no more turns."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def finished(self, more: int) -> None:
        """So many turns from now on."""
        goal = len(self.turns) + more
        async with self._more, asyncio.timeout(120):
            await self._more.wait_for(lambda: len(self.turns) >= goal)

    def failures(self) -> list[str]:
        return [turn.refused or turn.broken for turn in self.turns if turn.refused or turn.broken]

    def broken(self) -> list[str]:
        return [turn.broken for turn in self.turns if turn.broken]

    @property
    def longest_wait(self) -> float:
        """Until a turn was taken, in seconds."""
        return max(turn.waited for turn in self.turns)

    @property
    def resumed(self) -> int:
        return sum(turn.resumed for turn in self.turns)

    @property
    def longest_silence(self) -> float:
        return max(turn.silence for turn in self.turns)


def site() -> Iterator[Site]:
    """A namespace, and in it the pod from which traffic comes."""
    config.load_kube_config()
    core = client.CoreV1Api()
    namespace = f"chatmesh-test-{secrets.token_hex(3)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    core.create_namespace({"metadata": {"name": namespace, "labels": labels}})
    try:
        core.create_namespaced_pod(namespace, _traffic_pod())
        yield Site(namespace, core, Cluster(client.ApiClient(), namespace, RELEASE))
    finally:
        core.delete_namespace(namespace)
        give_back_volumes(core, namespace)


def give_back_volumes(core: client.CoreV1Api, namespace: str) -> None:
    """Volumes made by hand, which nobody deletes with their claims, are empty for the next test.

    What a test left there may be of a later release than the next one begins with.
    """
    selector = f"kubernetes.io/metadata.name={namespace}"
    changes = watch.Watch()
    for change in changes.stream(core.list_namespace, label_selector=selector, timeout_seconds=300):
        if change["type"] == "DELETED":
            changes.stop()
    for volume in core.list_persistent_volume().items:
        claimed, folder = volume.spec.claim_ref, volume.spec.local or volume.spec.host_path
        if folder and claimed and claimed.namespace == namespace:
            _empty(core, volume, folder.path)
            core.patch_persistent_volume(volume.metadata.name, {"spec": {"claimRef": None}})


def _empty(core: client.CoreV1Api, volume: Any, folder: str) -> None:
    """By a pod on the node that has the folder."""
    namespace = "default"
    made = core.create_namespaced_pod(namespace, _emptying_pod(volume, folder))
    name = made.metadata.name
    try:
        changes = watch.Watch()
        for change in changes.stream(
            core.list_namespaced_pod,
            namespace,
            field_selector=f"metadata.name={name}",
            timeout_seconds=300,
        ):
            phase = change["object"].status.phase
            if phase in ("Succeeded", "Failed"):
                changes.stop()
        assert phase == "Succeeded", f"{volume.metadata.name} could not be emptied: {phase}"
    finally:
        core.delete_namespaced_pod(name, namespace, grace_period_seconds=0)


def _emptying_pod(volume: Any, folder: str) -> Values:
    container = {
        "name": "empty",
        "image": image("scripted"),
        "command": ["find", "/volume", "-mindepth", "1", "-delete"],
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [{"name": "volume", "mountPath": "/volume"}],
    }
    spec: Values = {
        "containers": [container],
        "volumes": [{"name": "volume", "hostPath": {"path": folder}}],
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
    }
    if volume.spec.node_affinity:
        where = client.ApiClient().sanitize_for_serialization(volume.spec.node_affinity.required)
        on_node = {"requiredDuringSchedulingIgnoredDuringExecution": where}
        spec["affinity"] = {"nodeAffinity": on_node}
    return {"metadata": {"generateName": "empty-volume-"}, "spec": spec}


def _traffic_pod() -> Values:
    container = {
        "name": "traffic",
        "image": image("scripted"),
        "command": ["tini", "--", "sleep", "infinity"],
        # A pod without requests gets next to nothing of a busy node, and would count its own
        # waiting as the mesh's silence.
        "resources": {"requests": {"cpu": "200m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "metadata": {"name": "traffic"},
        "spec": {
            "containers": [container],
            "securityContext": security,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
        },
    }
