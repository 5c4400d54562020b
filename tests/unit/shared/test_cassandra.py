"""What a URL of Cassandra says, and what is said of it."""

import pytest
from cassandra import InvalidRequest, OperationTimedOut, Unauthorized
from cassandra.cluster import NoHostAvailable
from cassandra.protocol import ErrorMessage

from services.shared.cassandra import Keyspace, Undecided, settings
from services.shared.errors import CannotStart, Unavailable
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


class Refusing:
    """A session whose every statement fails, and the statements too."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.asked = 0

    def prepare(self, _: str) -> "Refusing":
        return self

    def bind(self, _: object) -> "Refusing":
        return self

    def execute_async(self, *_: object, **__: object) -> object:
        self.asked += 1
        raise self._error


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (NoHostAvailable("at 10.0.0.1", {}), Unavailable),
        (OperationTimedOut(), Unavailable),
        (Unauthorized("Cannot achieve consistency level LOCAL_QUORUM"), Unavailable),
        (Unauthorized("no permission"), Unauthorized),
        (InvalidRequest("unconfigured table"), InvalidRequest),
        (ErrorMessage(0x1700, "CAS operation result is unknown", None), Unavailable),
        (ErrorMessage(0x0000, "a bug of the server", None), ErrorMessage),
    ],
)
async def test_what_may_pass_is_unavailable_and_what_is_wrong_is_not(
    error: Exception, raised: type[Exception]
) -> None:
    keyspace = Keyspace(Refusing(error))
    await keyspace.prepare(["SELECT"])
    with pytest.raises(raised) as failed:
        await keyspace.rows("SELECT")
    assert "10.0.0.1" not in str(failed.value)
    with pytest.raises(Undecided if raised is Unavailable else raised):
        await keyspace.applied("SELECT", ())


async def test_a_serial_read_is_asked_again_where_others_write_meanwhile() -> None:
    session = Refusing(ErrorMessage(0x1700, "CAS operation result is unknown", None))
    keyspace = Keyspace(session)
    await keyspace.prepare(["SELECT"])
    with pytest.raises(Unavailable):
        await keyspace.rows("SELECT", serial=True)
    assert session.asked == 5
