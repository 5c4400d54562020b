"""Three real Cassandra nodes on loopback, as `make contract` installs them, and their faults."""

import asyncio
import atexit
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from cassandra import ConsistencyLevel, Unauthorized
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import (
    EXEC_PROFILE_DEFAULT,
    Cluster,
    ExecutionProfile,
    NoHostAvailable,
    Session,
)
from cassandra.policies import WhiteListRoundRobinPolicy
from cassandra.protocol import ConfigurationException

from services.context_assembly.adapters.cassandra import migrate_cassandra_turns
from services.memory.adapters.cassandra import migrate_cassandra_facts
from services.shared.store_url import StoreUrl
from tests.servers.authority import KEYSTORE_PASSWORD, Authority

_ROOT = Path(__file__).parents[2]
_JARS = _ROOT / ".tools/cassandra-5.0.5"
_CONFIGURATION = Path(__file__).parent / "cassandra_node"
# What Cassandra 5 opens of Java 17, as its own start script does.
_OPENS = """
    java.base/java.lang java.base/java.lang.module java.base/java.lang.ref
    java.base/java.lang.reflect java.base/java.io java.base/java.math java.base/java.net
    java.base/java.nio java.base/java.util
    java.base/java.util.concurrent java.base/java.util.concurrent.atomic java.base/sun.nio.ch
    java.base/sun.nio.fs java.base/jdk.internal.ref java.base/jdk.internal.reflect
    java.base/jdk.internal.math java.base/jdk.internal.module java.base/jdk.internal.misc
    java.base/jdk.internal.util.jar java.rmi/sun.rmi.transport.tcp java.rmi/sun.rmi.registry
    java.rmi/sun.rmi.server java.rmi/sun.rmi.transport
    java.management/com.sun.jmx.remote.security java.sql/java.sql java.logging/java.util.logging
    java.management.rmi/javax.management.remote.rmi jdk.management/com.sun.management.internal
    jdk.attach/sun.tools.attach jdk.compiler/com.sun.tools.javac.file
""".split()
_JAVA = """
    -Xms384m -Xmx512m -Xss512k -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto
    -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.ring_delay_ms=5000
    -Dcassandra.superuser_setup_delay_ms=0 -Dcassandra.auth_bcrypt_gensalt_log2_rounds=4
    -Djdk.attach.allowAttachSelf=true
    -Dcassandra.migration_delay_ms=500 -Dcassandra.schema_pull_interval_ms=500
""".split()
_NODES = 3
# How long the nodes may take until each has heard of the others.
_JOINED_SECONDS = 120
_KEYSPACE = "tests"
USER, PASSWORD = "mesh", "canary-of-cassandra"


@dataclass(slots=True)
class Node:
    """One node. A killed one comes back with what it had on its disk."""

    folder: Path
    address: str
    process: "subprocess.Popen[bytes]" = field(init=False)

    def start(self) -> None:
        opened = [
            f"--add-{what}={each}=ALL-UNNAMED" for each in _OPENS for what in ("opens", "exports")
        ]
        command = [
            *("java", *_JAVA, f"-javaagent:{_JARS}/jamm-0.4.0.jar", *opened),
            f"-Dcassandra.config=file://{self.folder}/conf/cassandra.yaml",
            f"-Dcassandra.storagedir={self.folder}",
            *("-cp", f"{self.folder}/conf:{_JARS}/*"),
            "org.apache.cassandra.service.CassandraDaemon",
        ]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait(self, port: int) -> None:
        """Until it answers clients."""
        while True:
            assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]
            try:
                socket.create_connection((self.address, port)).close()
                return
            except ConnectionRefusedError:
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(timeout=0.2)

    def hang(self) -> None:
        """Its connections stay, and nothing answers on them."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """As a machine that is switched off: nothing is said to anybody."""
        self.process.kill()
        self.process.wait()


@dataclass(slots=True)
class CassandraNodes:
    nodes: Sequence[Node]
    port: int
    # Who has signed the nodes' certificates.
    authority: Authority
    # Of a superuser.
    session: Session = field(init=False)

    def url(self, keyspace: str, *, user: str = USER, password: str = PASSWORD) -> str:
        hosts = ",".join(node.address for node in self.nodes)
        return f"cassandra://{user}:{password}@{hosts}:{self.port}/{keyspace}"

    def make_keyspace(self, name: str) -> StoreUrl:
        """One without tables, kept on all nodes."""
        create = f"CREATE KEYSPACE IF NOT EXISTS {name} WITH replication = {self._replicas()}"
        self._once_all_joined(self.session, create)
        return StoreUrl(self.url(name))

    def empty(self, keyspace: str) -> None:
        told = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
        tables = {row.table_name for row in self.session.execute(told, (keyspace,))}
        rows = {
            table: self.session.execute_async(f"SELECT * FROM {keyspace}.{table} LIMIT 1")
            for table in tables - {"schema_version"}
        }
        full = [table for table, found in rows.items() if found.result().one()]
        for emptied in [self.session.execute_async(f"TRUNCATE {keyspace}.{each}") for each in full]:
            emptied.result()

    def make_user(self) -> None:
        """Whom all nodes know. Of the first superuser only one does."""
        while True:
            try:
                session = self.connect("cassandra", "cassandra")
                break
            except NoHostAvailable:
                continue  # that one is made some time after the start
        alter = f"ALTER KEYSPACE system_auth WITH replication = {self._replicas()}"
        may = "LOGIN = true AND SUPERUSER = true"
        create = f"CREATE ROLE IF NOT EXISTS {USER} WITH PASSWORD = '{PASSWORD}' AND {may}"
        for statement in (alter, create):
            self._once_all_joined(session, statement)
        session.cluster.shutdown()
        self.session = self.connect(USER, PASSWORD)

    def _once_all_joined(self, session: Session, statement: str) -> None:
        """Refused until the node that is asked has heard of the others, and they answer it."""
        until = time.monotonic() + _JOINED_SECONDS
        while True:
            try:
                session.execute(statement)
                return
            except (ConfigurationException, NoHostAvailable, Unauthorized):
                if time.monotonic() > until:
                    raise
                with suppress(subprocess.TimeoutExpired):
                    self.nodes[0].process.wait(timeout=0.2)

    def connect(self, user: str, password: str) -> Session:
        hosts = [node.address for node in self.nodes]
        profile = ExecutionProfile(
            load_balancing_policy=WhiteListRoundRobinPolicy(hosts),
            consistency_level=ConsistencyLevel.ALL,
            request_timeout=60,
        )
        cluster = Cluster(
            hosts,
            port=self.port,
            auth_provider=PlainTextAuthProvider(user, password),
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            protocol_version=5,
        )
        try:
            return cluster.connect()
        except NoHostAvailable:
            cluster.shutdown()
            raise

    def _replicas(self) -> str:
        return f"{{'class': 'NetworkTopologyStrategy', 'datacenter1': {len(self.nodes)}}}"


def _free() -> tuple[Sequence[str], int, int]:
    """Loopback addresses that are nobody's, and two ports that are free on them."""
    net = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}"
    addresses = [f"{net}.{number}" for number in range(1, _NODES + 1)]
    ports = []
    for _ in range(2):
        with socket.create_server((addresses[0], 0)) as free:
            ports.append(free.getsockname()[1])
    return addresses, ports[0], ports[1]


def start_nodes() -> CassandraNodes:
    """Three of their own, for tests that stop some. They end with the process."""
    if not (_JARS / "installed").exists() or not shutil.which("java"):
        pytest.skip("Cassandra missing: `make contract` installs it")
    folder = Path(tempfile.mkdtemp(prefix="chatmesh-cassandra-"))
    addresses, native_port, storage_port = _free()
    authority = Authority(folder / "authority")
    started = [Node(folder / address, address) for address in addresses]
    nodes = CassandraNodes(started, native_port, authority)
    template = (_CONFIGURATION / "cassandra.yaml").read_text()
    atexit.register(_end, nodes, folder)
    for number, node in enumerate(nodes.nodes):
        conf = node.folder / "conf"
        conf.mkdir(parents=True)
        settings = {
            "token": -(2**63) + number * 2**64 // _NODES,
            "seeds": addresses[0],
            "address": node.address,
            "storage_port": storage_port,
            "native_port": native_port,
            "folder": node.folder,
            "keystore": authority.certify(node.address).keystore,
            "keystore_password": KEYSTORE_PASSWORD,
        }
        (conf / "cassandra.yaml").write_text(template.format(**settings))
        shutil.copy(_CONFIGURATION / "logback.xml", conf)
    # The others take the first one's schema: nodes that start at once make each their own, and
    # agree on one minutes later.
    first, *others = nodes.nodes
    first.start()
    first.wait(native_port)
    for node in others:
        node.start()
    for node in others:
        node.wait(native_port)
    nodes.make_user()
    return nodes


def _end(nodes: CassandraNodes, folder: Path) -> None:
    for node in nodes.nodes:
        if hasattr(node, "process"):
            node.kill()
    shutil.rmtree(folder)


nodes = cache(start_nodes)
_MIGRATIONS = (migrate_cassandra_turns, migrate_cassandra_facts)
_made: dict[str, StoreUrl] = {}
_making = asyncio.Lock()


async def empty_keyspace() -> StoreUrl:
    """With the tables of all services, and nothing in them.

    One for the whole process, since its tables take seconds to make: tests use it one by one.
    """
    async with _making:
        url = _made.get(_KEYSPACE)
        if url is None:
            url = await asyncio.to_thread(nodes().make_keyspace, _KEYSPACE)
            for migrate in _MIGRATIONS:
                await migrate(url)
            _made[_KEYSPACE] = url
        else:
            await asyncio.to_thread(nodes().empty, _KEYSPACE)
        return url
