"""The chart as Helm renders it."""

import importlib.util
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
        if one["kind"] == "LeaderWorkerSet":
            group = one["spec"]["leaderWorkerTemplate"]
            found[f"{name} leader"] = group["leaderTemplate"]
            found[f"{name} worker"] = group["workerTemplate"]
    return found


def refusal(tmp_path: Path, values: Manifest) -> str:
    """What Helm says to values that it refuses."""
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    command = ["helm", "template", "chatmesh", str(CHART), "-f", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0, done.stdout[:500]
    return done.stderr


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    missing = [tool for tool in ("helm", "helm-docs") if not shutil.which(tool)]
    if missing:
        reason = f"{' and '.join(missing)} missing: `make charts-test` builds them with Go"
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))
