"""`make cluster-test`: on the cluster that KUBECONFIG names, with images that it has."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.cluster.site import Site, site

_TOLD: list[str] = []


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    if all(os.environ.get(name) for name in ("KUBECONFIG", "TAG")):
        return
    reason = "needs a cluster: set KUBECONFIG, then `make cluster-images cluster-test`"
    for item in items:
        ours = Path(__file__).parent in item.path.parents
        if ours and "here" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module")
def here(request: pytest.FixtureRequest) -> Iterator[Site]:
    for made in site():
        yield made
        _TOLD.extend(f"{request.module.__name__.rpartition('.')[2]}: {line}" for line in made.told)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _TOLD:
        terminalreporter.section("what was seen")
        for line in _TOLD:
            terminalreporter.line(line)
