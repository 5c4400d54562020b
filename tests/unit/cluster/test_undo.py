"""A rollout is taken back to pods that ran before, of the same release."""

import pytest

from services.cluster.refusals import CannotDo
from services.cluster.undo import undo
from services.cluster.view import Cluster
from services.cluster.workloads import Workload
from tests.fakes.kubernetes import ApiServer, Json
from tests.fakes.release import NAMESPACE, deployment, group, labels

REVISION = "deployment.kubernetes.io/revision"


def workload(cluster: Cluster) -> Workload:
    (only,) = cluster.workloads.all()
    return only


def revised(now: int) -> Json:
    made = deployment("gateway")
    made["metadata"]["annotations"] = {REVISION: str(now)}
    made["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "NEW", "value": "1"}]
    return made


def kept(revision: int, *, version: str = "0.1.0", owner: str = "uid-of-chatmesh-gateway") -> Json:
    template = deployment("gateway")["spec"]["template"]
    template["metadata"]["labels"] |= {
        "pod-template-hash": "abc",
        "app.kubernetes.io/version": version,
    }
    template["spec"]["containers"][0]["image"] = f"mesh:{revision}"
    metadata = {
        "name": f"chatmesh-gateway-{owner[-3:]}{revision}",
        "namespace": NAMESPACE,
        "labels": labels("gateway"),
        "annotations": {REVISION: str(revision)},
        "ownerReferences": [{"uid": owner}],
    }
    spec = {"template": template}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec}


def image(api: ApiServer) -> str:
    template = api.find("deployments", "chatmesh-gateway")["spec"]["template"]
    assert "pod-template-hash" not in template["metadata"]["labels"]
    (container,) = template["spec"]["containers"]
    assert "env" not in container
    found: str = container["image"]
    return found


@pytest.mark.parametrize(("to", "image_of"), [(0, 3), (1, 1), (3, 3)])
def test_the_pods_are_those_of_the_revision_and_of_no_other_deployment(
    api: ApiServer, cluster: Cluster, to: int, image_of: int
) -> None:
    api.add(revised(4), kept(1), kept(3), kept(4), kept(2, owner="another"), kept(9, owner="other"))
    assert undo(cluster, workload(cluster), to) == image_of
    assert image(api) == f"mesh:{image_of}"


def test_a_revision_that_is_not_kept_is_told_with_those_that_are(
    api: ApiServer, cluster: Cluster
) -> None:
    api.add(revised(4), kept(1), kept(3), kept(4))
    with pytest.raises(CannotDo, match="has no revision 2 besides 4; it has: 1, 3"):
        undo(cluster, workload(cluster), 2)


def test_where_there_was_nothing_before_there_is_nothing_to_undo(
    api: ApiServer, cluster: Cluster
) -> None:
    api.add(revised(1), kept(1))
    with pytest.raises(CannotDo, match="nothing to undo"):
        undo(cluster, workload(cluster))


def test_pods_of_another_release_are_not_put_among_these(api: ApiServer, cluster: Cluster) -> None:
    api.add(revised(2), kept(1, version="0.0.9"))
    with pytest.raises(CannotDo, match=r"is of release 0.0.9.*`helm rollback chatmesh`"):
        undo(cluster, workload(cluster))
    assert not [path for method, path in api.asked if method == "PATCH"]


def test_a_pool_over_several_nodes_is_taken_back_with_the_whole_release(
    api: ApiServer, cluster: Cluster
) -> None:
    api.add(group("inference-large"))
    with pytest.raises(CannotDo, match=r"LeaderWorkerSet.*`helm rollback chatmesh`"):
        undo(cluster, workload(cluster))
