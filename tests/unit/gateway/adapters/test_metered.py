"""What Prometheus reads of the moment."""

from dataclasses import replace

from prometheus_client import CollectorRegistry

from services.gateway.adapters.metered import Moment
from services.gateway.admission import Admission
from tests.unit.gateway.test_fleet import LOAD, WAKING, A, B, site


async def test_turns_pools_and_replicas_are_as_they_are() -> None:
    admission = Admission(max_turns=5, max_turns_per_tenant=5)
    async with site(A, B, pool=WAKING) as here:
        here.replicas[A].tell(replace(LOAD, running=3, kv_cache_use=0.5))
        here.replicas[B].tell(replace(LOAD, draining=True))
        await here.until(A, B)
        registry = CollectorRegistry()
        registry.register(Moment(admission, here.fleet))
        read = registry.get_sample_value
        with admission.admitted("ada"):
            assert read("chatmesh_turns") == 1
        assert read("chatmesh_pool_held", {"pool": "only"}) == 0
        of_a, of_b = ({"pool": "only", "pod": pod} for pod in ("pod-a", "pod-b"))
        assert read("chatmesh_replica_running", of_a) == 3
        assert read("chatmesh_replica_kv_cache_use", of_a) == 0.5
        assert read("chatmesh_replica_slots", of_a) == 8
        assert read("chatmesh_replica_draining", of_b) == 1
        here.peers.become([])
        await here.until()
        assert read("chatmesh_replica_running", of_a) is None
