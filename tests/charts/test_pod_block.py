"""What the values say of pods in Kubernetes' own words is merged with what the chart makes."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from tests.charts.conftest import Manifest, named, pods, refusal, refused_or_rendered, rendered

SERVICES = ("gateway", "context-assembly", "tokenizer", "tool-runner", "moderation", "memory")
MODEL = {"name": "m", "source": {"bundled": True}, "contextTokens": 4096}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def release(**values: Any) -> Mapping[str, Manifest]:
    """The pods, by what makes them."""
    shown, refused = refused_or_rendered(values)
    assert not refused, refused
    found = pods([one for one in yaml.safe_load_all(shown) if one])
    return {name.replace("/chatmesh-", "/"): pod for name, pod in found.items()}


def pool(**fields: Any) -> Manifest:
    return {"pools": [{"name": "a", "replicas": 1, "model": MODEL, **fields}]}


@pytest.mark.parametrize("service", SERVICES)
def test_a_services_pods_have_what_is_said_and_lose_nothing(service: str) -> None:
    block = {
        "metadata": {"labels": {"team": "chat"}, "annotations": {"a": "b"}},
        "spec": {
            "runtimeClassName": "gvisor",
            "schedulerName": "mine",
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"fsGroup": 5},
            "volumes": [
                {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
                {"name": "home", "persistentVolumeClaim": {"claimName": "c"}},
                {"name": "more", "configMap": {"name": "m"}},
            ],
            "topologySpreadConstraints": [
                {"topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"},
                {"topologyKey": "rack", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"},
            ],
            "containers": [
                {
                    "name": service,
                    "env": [{"name": "A", "value": ""}],
                    "envFrom": [{"secretRef": {"name": "s"}}],
                    "volumeMounts": [{"name": "more", "mountPath": "/more"}],
                    "securityContext": {"readOnlyRootFilesystem": False},
                },
                {"name": "sidecar", "image": "s:1.0.0", "args": ["x"]},
            ],
        },
    }
    plain = release()[f"Deployment/{service}"]
    pod = release(**{service: {"pod": block}})[f"Deployment/{service}"]
    assert plain["metadata"]["labels"].items() <= pod["metadata"]["labels"].items()
    assert pod["metadata"]["labels"]["team"] == "chat"
    assert plain["metadata"]["annotations"] | {"a": "b"} == pod["metadata"]["annotations"]
    spec = pod["spec"]
    assert (spec["runtimeClassName"], spec["schedulerName"]) == ("gvisor", "mine")
    assert spec["terminationGracePeriodSeconds"] == 0
    assert spec["securityContext"] == plain["spec"]["securityContext"] | {"fsGroup": 5}
    volumes = {one["name"]: one for one in spec["volumes"]}
    assert volumes["tmp"] == {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}
    assert volumes["home"] == {"name": "home", "persistentVolumeClaim": {"claimName": "c"}}
    assert {one["name"] for one in plain["spec"]["volumes"]} | {"more"} == set(volumes)
    spread = {one["topologyKey"]: one for one in spec["topologySpreadConstraints"]}
    assert spread["kubernetes.io/hostname"]["whenUnsatisfiable"] == "DoNotSchedule"
    assert spread["kubernetes.io/hostname"]["labelSelector"]
    assert len(spread) == 3
    ours, sidecar = spec["containers"]
    (before,) = plain["spec"]["containers"]
    assert sidecar == {"name": "sidecar", "image": "s:1.0.0", "args": ["x"]}
    assert ours["envFrom"] == [*before["envFrom"], {"secretRef": {"name": "s"}}]
    assert ours["env"] == [{"name": "A", "value": ""}]
    assert ours["volumeMounts"] == [*before["volumeMounts"], {"name": "more", "mountPath": "/more"}]
    hardened = before["securityContext"] | {"readOnlyRootFilesystem": False}
    assert ours["securityContext"] == hardened
    assert ours["args"] == before["args"]


def test_the_general_comes_before_the_particular() -> None:
    selector = {"pool": "cpu", "disk": "ssd"}
    found = release(
        everyPod={"spec": {"nodeSelector": selector}, "metadata": {"labels": {"team": "a"}}},
        commonLabels={"cost": "7"},
        jobs={"pod": {"spec": {"nodeSelector": {"pool": "jobs"}}}},
        moderation={"nodeSelector": {"pool": "mod"}},
        memory={"pod": {"spec": {"nodeSelector": {"pool": "mem", "disk": None}}}},
        inference=pool(pod={"metadata": {"labels": {"team": "own"}}})
        | {"pod": {"metadata": {"labels": {"team": "pools", "kind": "engine"}}}},
    )
    assert len(found) == 13
    assert all(pod["metadata"]["labels"]["cost"] == "7" for pod in found.values())
    wanted = {name: pod["spec"]["nodeSelector"] for name, pod in found.items()}
    assert wanted["Deployment/gateway"] == selector
    assert wanted["Deployment/moderation"] == selector | {"pool": "mod"}
    assert wanted["Deployment/memory"] == {"pool": "mem"}
    assert wanted["Job/bootstrap"] == wanted["Job/migrate-gateway"] == selector | {"pool": "jobs"}
    engine = found["Deployment/inference-a"]["metadata"]["labels"]
    assert (engine["team"], engine["kind"]) == ("own", "engine")


def test_a_pools_own_nodes_must_also_have_its_accelerator() -> None:
    zone = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
    other = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}
    affinity = {
        "nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [zone, other]}},
        "podAntiAffinity": {REQUIRED: [{"topologyKey": "kubernetes.io/hostname"}]},
    }
    for way in ({"affinity": affinity}, {"pod": {"spec": {"affinity": affinity}}}):
        found = release(inference=pool(gpu={"preset": "h100"}, **way))["Deployment/inference-a"]
        node = found["spec"]["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
        gpus = release(inference=pool(gpu={"preset": "h100"}))["Deployment/inference-a"]
        before = gpus["spec"]["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
        assert len(before) == 3
        both = [
            {
                key: [*one.get(key, ()), *own.get(key, ())]
                for key in ("matchExpressions", "matchFields")
                if key in one or key in own
            }
            for one in before
            for own in (zone, other)
        ]
        assert node == both
        assert found["spec"]["affinity"]["podAntiAffinity"] == affinity["podAntiAffinity"]


def test_tolerations_are_added_to_those_of_accelerators() -> None:
    own = {"key": "k", "operator": "Exists"}
    found = release(inference=pool(gpu={"preset": "h100"}, tolerations=[own]))
    keys = {one["key"] for one in found["Deployment/inference-a"]["spec"]["tolerations"]}
    assert keys == {"nvidia.com/gpu", "sku", "k"}


def test_what_a_container_of_ours_runs_is_the_charts() -> None:
    block = {"spec": {"containers": [{"name": "gateway", "args": ["sh"]}]}}
    told = refusal({"gateway": {"pod": block}})
    assert "pod.spec.containers of gateway" in told
    assert "`args`" in told


@pytest.mark.parametrize("label", ["app.kubernetes.io/component", "chatmesh.io/service"])
@pytest.mark.parametrize("place", ["commonLabels", "everyPod", "gateway"])
def test_labels_that_selectors_need_are_the_charts(place: str, label: str) -> None:
    labels = {label: "x"}
    block = {"metadata": {"labels": labels}}
    told = {"commonLabels": labels, "everyPod": block, "gateway": {"pod": block}}
    assert f"/{place}" in refusal({place: told[place]})


def test_a_sidecar_of_every_pod_is_refused() -> None:
    """In a job it would keep the job from ending."""
    block = {"spec": {"containers": [{"name": "x", "image": "y"}]}}
    assert "/everyPod/spec" in refusal({"everyPod": block})


def test_a_service_has_the_budget_and_the_rollout_that_it_is_given() -> None:
    manifests = rendered(
        "values",
        *("--set", "tokenizer.pdb.minAvailable=50%", "--set", "memory.pdb.enabled=false"),
        *("--set", "moderation.rollingUpdate.maxSurge=25%"),
    )
    budgets = named(manifests, "PodDisruptionBudget")
    assert budgets["chatmesh-tokenizer"]["spec"]["minAvailable"] == "50%"
    assert "maxUnavailable" not in budgets["chatmesh-tokenizer"]["spec"]
    assert "chatmesh-memory" not in budgets
    rolled = named(manifests, "Deployment")["chatmesh-moderation"]["spec"]["strategy"]
    assert rolled["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": 0}


def test_accounts_are_made_with_annotations_or_are_there_already() -> None:
    accounts = {"gateway": {"serviceAccount": {"name": "mine"}}}
    role = {"eks.amazonaws.com/role-arn": "arn"}
    own = pool(serviceAccount={"annotations": role})
    given = {**accounts, "inference": own}
    shown, _ = refused_or_rendered(given)
    manifests = [one for one in yaml.safe_load_all(shown) if one]
    made = named(manifests, "ServiceAccount")
    assert made["chatmesh-inference-a"]["metadata"]["annotations"] == role
    assert "chatmesh-gateway" not in made
    assert pods(manifests)["Deployment/chatmesh-gateway"]["spec"]["serviceAccountName"] == "mine"
    (subject,) = named(manifests, "RoleBinding")["chatmesh-gateway"]["subjects"]
    assert subject["name"] == "mine"


def test_images_may_be_named_by_digest() -> None:
    digest = "sha256:" + "ab" * 32
    found = release(images={"digests": {"mesh": digest}})
    images = {pod["spec"]["containers"][0]["image"] for pod in found.values()}
    assert len(images) == 2
    assert {image.partition("@")[2] for image in images} == {digest, ""}


def test_an_accelerator_may_be_claimed() -> None:
    claims = [{"name": "gpu", "resourceClaimTemplateName": "h100"}]
    pod = release(inference=pool(gpu={"claims": claims}))["Deployment/inference-a"]
    assert pod["spec"]["resourceClaims"] == claims
    (container,) = pod["spec"]["containers"]
    assert container["resources"]["claims"] == [{"name": "gpu"}]
    assert "nvidia.com/gpu" not in json.dumps(container["resources"])
    assert "/inference:" in container["image"]


def test_what_goes_outside_has_the_proxy_and_the_private_ca_and_nothing_else_has() -> None:
    hub = pool(model={**MODEL, "source": {"hub": "a/b"}}) | {"weights": {"cacheClaim": "w"}}
    found = release(
        proxy={"https": "http://proxy:3128", "noProxy": "corp.example"},
        privateCA={"configMap": "roots", "key": "root.pem"},
        inference=hub,
    )
    outside = set()
    for name, pod in found.items():
        for container in [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]:
            told = {one["name"]: one.get("value") for one in container.get("env", ())}
            if "HTTPS_PROXY" not in told:
                assert "SSL_CERT_FILE" not in told
                continue
            outside.add((name.rpartition("-")[0], container["name"]))
            assert told["HTTPS_PROXY"] == "http://proxy:3128"
            assert {"corp.example", "$(KUBERNETES_SERVICE_HOST)"} <= set(
                told["NO_PROXY"].split(",")
            )
            mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
            assert told["SSL_CERT_FILE"].startswith(mounts["private-ca"])
            (ca,) = [one for one in pod["spec"]["volumes"] if one["name"] == "private-ca"]
            assert ca["configMap"]["items"] == [{"key": "root.pem", "path": "ca.crt"}]
    assert {container for _, container in outside} == {"tool-runner", "fetch-m"}
    assert len(outside) == 4


def test_jobs_ask_for_what_they_are_told() -> None:
    limits = {"limits": {"memory": "1Gi", "cpu": 1}}
    found = release(jobs={"resources": limits})
    asked = {
        name: pod["spec"]["containers"][0]["resources"]
        for name, pod in found.items()
        if name.startswith("Job/")
    }
    assert len(asked) == 6
    for resources in asked.values():
        assert resources["limits"] == limits["limits"]
        assert resources["requests"]["cpu"] == "50m"
