"""What is made of the chart's sources is what was committed; `make charts` makes it anew."""

import subprocess

import pytest
import yaml

from services import __version__
from tests.charts.conftest import CHART, ROOT, generate

RENDERS = ("values-local", "values-aks", "values-gke", "values-eks", "values")


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
