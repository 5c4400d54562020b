"""The chart as Helm renders it."""

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "chatmesh"
Manifest = dict[str, Any]


@cache
def generate() -> ModuleType:
    """charts/generate.py, which is a script and no package."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "charts" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def rendered(values: str, *options: str) -> Sequence[Manifest]:
    text = generate().render(values, *options)
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


def named(manifests: Sequence[Manifest], kind: str) -> Mapping[str, Manifest]:
    """Those of a kind, by name."""
    return {one["metadata"]["name"]: one for one in manifests if one["kind"] == kind}


def pods(manifests: Sequence[Manifest]) -> Mapping[str, Manifest]:
    """All pod templates, by what makes them."""
    found: dict[str, Manifest] = {}
    for one in manifests:
        name = f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] in {"Deployment", "Job", "StatefulSet"}:
            found[name] = one["spec"]["template"]
        if name == "Job/chatmesh-migrations":
            begun = migrations(one)
            found |= {f"Job/{each['metadata']['name']}": each["spec"]["template"] for each in begun}
        if one["kind"] == "LeaderWorkerSet":
            group = one["spec"]["leaderWorkerTemplate"]
            found[f"{name} leader"] = group["leaderTemplate"]
            found[f"{name} worker"] = group["workerTemplate"]
    return found


def migrations(job: Manifest) -> Sequence[Manifest]:
    """The jobs that it begins."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    program, given = container["args"]
    assert program == "services.cluster.migrations"
    begun: Sequence[Manifest] = json.loads(given)
    return begun


def from_bucket(cache: str) -> tuple[str, ...]:
    """Options for one pool whose model is in a bucket."""
    source = {"objectStorage": "s3://models/qwen3/8b/"}
    pool = {
        "name": "big",
        "replicas": 1,
        "model": {"name": "Qwen/Qwen3-8B", "source": source, "contextTokens": 8192},
        "resources": {"limits": {"memory": "64Gi"}},
    }
    storage = {"cacheClaim": cache, "secret": "keys", "environment": {"AWS_REGION": "eu-1"}}
    told = {"pools": [pool], "weights": storage}
    return ("--set-json", f"inference={json.dumps(told)}")


def refusal(values: Manifest, release: str = "chatmesh") -> str:
    """What Helm says to values that it refuses."""
    shown, refused = refused_or_rendered(values, release)
    assert refused, shown[:500]
    return refused


def refused_or_rendered(values: Manifest, release: str = "chatmesh") -> tuple[str, str]:
    """What Helm makes of values, and what it says where it refuses them. One is empty."""
    command = ["helm", "template", release, str(CHART), "--namespace", "chat", "--values", "-"]
    given = yaml.safe_dump(values)
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    return ("", done.stderr) if done.returncode else (done.stdout, "")


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    missing = [tool for tool in ("helm", "helm-docs") if not shutil.which(tool)]
    if missing:
        reason = f"{' and '.join(missing)} missing: `make charts-test` builds them with Go"
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))
