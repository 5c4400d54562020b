"""Where Prometheus reads."""

from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, Counter

from services.shared.metrics import exposed


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_they_are_read_at_either_kind_of_address(host: str) -> None:
    registry = CollectorRegistry()
    Counter("asked", "Times.", registry=registry).inc()
    with exposed(registry, f"{host}:0") as url:
        assert url.startswith(f"http://{host}:")
        assert b"asked_total 1.0" in urlopen(url, timeout=5).read()
