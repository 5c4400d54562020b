"""Brings stores to a release's schema: `python -m services.cluster.migrations JOBS`.

The chart runs it as a hook before an install or upgrade. JOBS is a JSON list with a job's manifest
for each store; the job migrates it. A store whose volume does not exist yet needs no migration; one
that a server keeps always has one.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kubernetes import client, config, watch
from kubernetes.client import ApiException

from services.shared.endpoint_slices import own_namespace

_NOT_FOUND = 404
_WATCH_SECONDS = 60
Manifest = Mapping[str, Any]


class NotMigrated(Exception):
    """A store could not be migrated. The sentence is what its own process said."""


class Migrations:
    """The migrations of one release, in one namespace."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._core = client.CoreV1Api(api)
        self._batch = client.BatchV1Api(api)
        self._namespace = namespace

    def run(self, jobs: Iterable[Manifest]) -> Iterator[str]:
        """Runs all jobs at once and says what becomes of each.

        Raises NotMigrated for the first that fails.
        """
        begun = {}
        for job in jobs:
            name = job["metadata"]["name"]
            self._forget(job)
            if missing := self._missing_claim(job):
                yield f"{name}: the volume {missing} is not there yet, nothing to migrate"
            else:
                begun[self._begin(job)] = job
        yield from self._watched(begun)
        # After a failure this is not reached: the jobs stay, for `kubectl chatmesh doctor` to read.
        for job in begun.values():
            self._forget(job)

    def _missing_claim(self, job: Manifest) -> str:
        volumes = job["spec"]["template"]["spec"]["volumes"]
        claims = [
            volume["persistentVolumeClaim"]["claimName"]
            for volume in volumes
            if "persistentVolumeClaim" in volume
        ]
        if not claims:
            # A server keeps it.
            return ""
        (claim,) = claims
        try:
            self._core.read_namespaced_persistent_volume_claim(claim, self._namespace)
        except ApiException as error:
            if error.status != _NOT_FOUND:
                raise
            return str(claim)
        return ""

    def _begin(self, job: Manifest) -> str:
        """Creates the job under a new name: that of an earlier upgrade may not be deleted yet."""
        metadata = dict(job["metadata"])
        metadata["generateName"] = f"{metadata.pop('name')}-"
        made = self._batch.create_namespaced_job(self._namespace, {**job, "metadata": metadata})
        return str(made.metadata.name)

    def _forget(self, job: Manifest) -> None:
        self._batch.delete_collection_namespaced_job(
            self._namespace, label_selector=_selector(job), propagation_policy="Background"
        )

    def _watched(self, begun: Mapping[str, Manifest]) -> Iterator[str]:
        left = dict(begun)
        while left:
            for job in self._looks(left):
                kinds = {one.type for one in job.status.conditions or () if one.status == "True"}
                name = job.metadata.name
                if "Failed" in kinds:
                    raise NotMigrated(f"{name}: {self._last_words(name)}")
                if "Complete" in kinds and name in left:
                    del left[name]
                    yield f"{name}: done"
                if not left:
                    return

    def _looks(self, jobs: Mapping[str, Manifest]) -> Iterator[Any]:
        """Each job as it is now, and again at every change, until the watch ends."""
        components = [
            job["metadata"]["labels"]["app.kubernetes.io/component"] for job in jobs.values()
        ]
        chosen = f"app.kubernetes.io/component in ({','.join(components)})"
        listed = self._batch.list_namespaced_job(self._namespace, label_selector=chosen)
        yield from (job for job in listed.items if job.metadata.name in jobs)
        changes = watch.Watch().stream(
            self._batch.list_namespaced_job,
            self._namespace,
            label_selector=chosen,
            resource_version=listed.metadata.resource_version,
            timeout_seconds=_WATCH_SECONDS,
        )
        yield from (
            change["object"] for change in changes if change["object"].metadata.name in jobs
        )

    def _last_words(self, job: str) -> str:
        pods = self._core.list_namespaced_pod(
            self._namespace, label_selector=f"batch.kubernetes.io/job-name={job}"
        )
        said = [
            status.state.terminated.message.strip()
            for pod in pods.items
            for status in pod.status.container_statuses or ()
            if status.state.terminated and status.state.terminated.message
        ]
        return said[-1] if said else "it did not end in time: kubectl describe job"


def _selector(job: Manifest) -> str:
    labels = job["metadata"]["labels"]
    kept = ("app.kubernetes.io/instance", "app.kubernetes.io/component")
    return ",".join(f"{name}={labels[name]}" for name in kept)


def main() -> None:
    (given,) = sys.argv[1:]
    jobs: Sequence[Manifest] = json.loads(given)
    config.load_incluster_config()
    with client.ApiClient() as api:
        try:
            for line in Migrations(api, own_namespace()).run(jobs):
                print(line)
        except NotMigrated as error:
            sys.exit(f"migrations: {error}")


if __name__ == "__main__":
    main()
