"""What a URL of Cassandra says, and what is said of it."""

import pytest

from services.shared.cassandra import settings
from services.shared.errors import CannotStart
from services.shared.store_url import StoreUrl


def test_a_url_names_hosts_port_keyspace_login_and_data_centre() -> None:
    found = settings(StoreUrl("cassandra://me:p%40ss%2F@one,two:9999/mesh?dc=east"))
    assert (found.hosts, found.port, found.keyspace) == (["one", "two"], 9999, "mesh")
    assert (found.user, found.password, found.dc, found.tls) == ("me", "p@ss/", "east", None)


def test_what_a_url_does_not_say_has_its_usual_value() -> None:
    found = settings(StoreUrl("cassandra://one/mesh"))
    assert (found.hosts, found.port, found.user, found.dc) == (["one"], 9042, "", "")


def test_the_password_is_not_shown() -> None:
    assert "canary" not in repr(settings(StoreUrl("cassandra://me:canary@one/mesh")))


@pytest.mark.parametrize(
    "url",
    [
        "cassandra://me:canary@one",
        "cassandra://me:canary@/mesh",
        "cassandra://me:canary@one:port/mesh",
        "cassandra://me:canary@one/me-sh",
        "cassandra://me:canary@one/mesh?unknown=1",
        "cassandra://me:canary@one/mesh?dc",
        "cassandra://me:canary@one/mesh?sslrootcert=/no/such/file",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(CannotStart) as refused:
        settings(StoreUrl(url))
    assert "canary" not in str(refused.value)
    assert refused.value.__cause__ is None
