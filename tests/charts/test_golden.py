"""What is made of the chart's sources is what was committed; `make charts` makes it anew."""

import json
import subprocess

import pytest
import yaml

from services import __version__
from tests.charts.conftest import CHART, ROOT, generate, refused_or_rendered

RENDERS = ("values-local", "values-aks", "values-gke", "values-eks", "values-ha", "values")


def test_every_values_file_has_its_render() -> None:
    assert {path.stem for path in CHART.glob("values*.yaml")} == set(RENDERS)
    assert set(generate().RENDERS) == set(RENDERS)


@pytest.mark.parametrize("values", RENDERS)
def test_renders_are_as_committed_and_the_same_each_time(values: str) -> None:
    golden = (generate().GOLDEN / f"{values}.yaml").read_text()
    assert generate().render(values) == golden
    assert generate().render(values) == golden


def test_the_schema_is_that_of_the_config_classes() -> None:
    assert generate().schema() == (CHART / "values.schema.json").read_text()


def test_the_readme_is_that_of_the_values() -> None:
    assert generate().readme() == (CHART / "README.md").read_text()


def test_the_readme_has_every_field_of_every_config_with_words() -> None:
    told = (CHART / "README.md").read_text()
    fields = json.loads(generate().schema())["properties"]
    for service in generate()._CONFIGS:
        knobs = {one.name: one for one in generate().knobs(service)}
        assert set(knobs) == set(fields[service]["properties"]["config"]["properties"])
        for name, knob in knobs.items():
            assert knob.words.endswith((".", "?")), (service, name)
            assert f"| {name} | {knob.default} | {knob.words} |" in told


def test_the_pool_that_values_yaml_shows_is_whole_and_is_taken() -> None:
    """It is a comment; uncommented it has every field of a pool, and renders."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.endswith("A full pool:"))
    shown = []
    for line in lines[start + 1 :]:
        if not line.strip().startswith("#"):
            break
        shown.append(line.strip().removeprefix("# "))
    (pool,) = yaml.safe_load("\n".join(shown))
    items = json.loads(generate().schema())["properties"]["inference"]["properties"]["pools"]
    assert set(pool) == set(items["items"]["properties"])
    assert set(pool["gpu"]) == {"preset", "products", "resource", "count"}
    made, refused = refused_or_rendered({"inference": {"pools": [pool]}})
    assert made, refused


@pytest.mark.parametrize("values", RENDERS)
def test_helm_has_nothing_to_say(values: str) -> None:
    command = ["helm", "lint", "--strict", str(CHART), "-f", str(CHART / f"{values}.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_code_images_and_charts_have_one_version() -> None:
    for chart in ("chatmesh", "meshlib"):
        described = yaml.safe_load((ROOT / "charts" / chart / "Chart.yaml").read_text())
        assert described["version"] == __version__
        assert described.get("appVersion", __version__) == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
