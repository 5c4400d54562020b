"""What the schema takes, the chart renders: values drawn from the schema, forty times.

tests/cluster/test_chart_dry_run.py shows the same renders to an API server.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import yaml

from tests.charts.combinations import HOW_MANY, Drawing, Place, generate_schema
from tests.charts.conftest import Manifest, pods, refused_or_rendered
from tests.charts.test_names import LABEL, NAME


def made(seed: int) -> Sequence[Manifest]:
    shown, refused = refused_or_rendered(Drawing(seed).values)
    assert not refused, refused
    return [one for one in yaml.safe_load_all(shown) if one]


def not_texts(manifest: Any, at: str = "") -> Iterator[str]:
    """Labels and annotations that YAML reads as something else: a digest may be all digits."""
    inner = manifest if isinstance(manifest, dict) else dict(enumerate(manifest))
    for key, value in inner.items():
        where = f"{at}.{key}"
        if at.endswith((".labels", ".annotations", ".matchLabels")) and not isinstance(value, str):
            yield where
        elif isinstance(value, dict | list):
            yield from not_texts(value, where)


@pytest.mark.parametrize("seed", range(HOW_MANY))
def test_it_renders_and_holds_together(seed: int) -> None:
    manifests = made(seed)
    counted = Counter((one["kind"], one["metadata"]["name"]) for one in manifests)
    assert max(counted.values()) == 1
    for one in manifests:
        assert NAME.fullmatch(one["metadata"]["name"])
        labels = one["metadata"].get("labels", {})
        assert all(LABEL.fullmatch(value) for value in labels.values())
        assert one["metadata"]["namespace"] == "chat"
    assert not [*not_texts(manifests)]
    for name, pod in pods(manifests).items():
        spec = pod["spec"]
        containers = [*spec.get("initContainers", ()), *spec["containers"]]
        volumes = Counter(one["name"] for one in spec.get("volumes", ()))
        assert max(volumes.values()) == 1, name
        for container in containers:
            mounted = [one["name"] for one in container.get("volumeMounts", ())]
            assert set(mounted) <= set(volumes), (name, container["name"])
        for volume in spec.get("volumes", ()):
            assert len(volume) == 2, (name, volume)


def test_the_same_is_drawn_each_time() -> None:
    assert Drawing(7).values == Drawing(7).values
    assert Drawing(7).values != Drawing(8).values


def test_every_key_of_the_schema_is_drawn_at_least_once() -> None:
    drawn = set[Place]().union(*(Drawing(seed).places for seed in range(HOW_MANY)))

    def keys(schema: Manifest, at: Place = ()) -> set[Place]:
        found = set[Place]()
        for name, inner in schema.get("properties", {}).items():
            if inner is not False and (*at, name) not in {("global",), ("meshlib",)}:
                found |= {(*at, name)} | keys(inner, (*at, name))
        return found

    schema = generate_schema()
    pool = schema["properties"]["inference"]["properties"]["pools"]["items"]
    whole = keys(schema) | keys(pool, ("inference", "pools", "0"))
    assert len(whole) > 400
    assert whole - drawn == set()
