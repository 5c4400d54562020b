"""A job for each store whose volume is there; what one of them said is what is told."""

import pytest
from kubernetes import client

from services.cluster.migrations import Migrations, NotMigrated
from tests.fakes.kubernetes import ApiServer, Json
from tests.fakes.release import NAMESPACE, claim, labels, tried

STORES = ("gateway", "memory")


def job(store: str) -> Json:
    volume = {"name": "store", "persistentVolumeClaim": {"claimName": f"chatmesh-{store}"}}
    pod = {"volumes": [{"name": "tmp", "emptyDir": {}}, volume], "containers": []}
    metadata = {"name": f"chatmesh-migrate-{store}", "namespace": NAMESPACE}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata | {"labels": labels(f"migrate-{store}")},
        "spec": {"template": {"spec": pod}},
    }


def ends(how: str) -> Json:
    return {"conditions": [{"type": how, "status": "True"}]}


@pytest.fixture
def migrations(api: ApiServer) -> Migrations:
    return Migrations(client.ApiClient(client.Configuration(host=api.url)), NAMESPACE)


def jobs(api: ApiServer) -> list[str]:
    return [path.rpartition("/")[2] for path in api.objects if "/jobs/" in path]


def test_before_a_first_install_there_is_nothing_to_migrate(
    api: ApiServer, migrations: Migrations
) -> None:
    assert list(migrations.run(map(job, STORES))) == [
        f"chatmesh-migrate-{store}: the volume chatmesh-{store} is not there yet, "
        "nothing to migrate"
        for store in STORES
    ]
    assert not jobs(api)


def test_every_store_is_migrated_and_its_job_is_gone(
    api: ApiServer, migrations: Migrations
) -> None:
    begun: list[str] = []

    def complete(made: Json) -> None:
        made["status"] = ends("Complete")
        begun.append(made["metadata"]["name"])

    api.created = complete
    api.add(*map(claim, STORES))
    told = list(migrations.run(map(job, STORES)))
    assert [name.rpartition("-")[0] for name in begun] == [
        f"chatmesh-migrate-{store}" for store in STORES
    ]
    assert sorted(told) == sorted(f"{name}: done" for name in begun)
    assert not jobs(api)


def test_what_fails_is_told_in_its_own_words_and_stays_until_the_next_try(
    api: ApiServer, migrations: Migrations
) -> None:
    def failed(made: Json) -> None:
        made["status"] = ends("Failed")
        pod = tried("migrate-memory", 0, exit_code=1, message="memory: has schema 9, known are 1")
        pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] = made["metadata"]["name"]
        api.add(pod)

    api.created = failed
    api.add(claim("memory"))
    with pytest.raises(NotMigrated, match=r"^chatmesh-migrate-memory-.*: memory: has schema 9"):
        list(migrations.run([job("memory")]))
    (first,) = jobs(api)
    api.created = lambda made: made.update(status=ends("Complete"))
    (told,) = migrations.run([job("memory")])
    assert told.endswith(": done")
    assert first not in jobs(api)
