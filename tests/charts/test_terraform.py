"""k8s/aks against what its provider takes: arguments by its schemas, and rules by its source.

The schemas are extracts (tests/charts/providers), of the oldest version that versions.tf allows
and of a newer major one. What excludes or needs what they do not say; these rules were read in
internal/services/containers of hashicorp/terraform-provider-azurerm, at the commit beside each.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hcl2
import pytest
from hcl2.utils import SerializationOptions

from tests.charts.conftest import ROOT

AKS = ROOT / "k8s" / "aks"
PROVIDERS = sorted((Path(__file__).parent / "providers").glob("azurerm-*.json"))
# What Terraform itself reads in a resource.
OF_TERRAFORM = {"count", "for_each", "depends_on", "lifecycle", "provider", "dynamic"}
PLAIN = SerializationOptions(strip_string_quotes=True, explicit_blocks=False, with_comments=False)
POOL, CLUSTER = "azurerm_kubernetes_cluster_node_pool", "azurerm_kubernetes_cluster"
# A change of one of these makes the pool anew under another name, which must be given:
# resourceKubernetesClusterNodePoolUpdate, 028a6fd9.
CYCLES = {
    *("fips_enabled", "host_encryption_enabled", "kubelet_config", "kubelet_disk_type"),
    *("linux_os_config", "max_pods", "node_public_ip_enabled", "os_disk_size_gb", "os_disk_type"),
    *("pod_subnet_id", "snapshot_id", "ultra_ssd_enabled", "vm_size", "vnet_subnet_id", "zones"),
}
Body = Mapping[str, Any]


def parsed(text: str) -> Body:
    read: Body = hcl2.loads(text, serialization_options=PLAIN)
    return read


def resources(files: Mapping[str, str]) -> Iterator[tuple[str, str, Body]]:
    """Type, name and body."""
    for text in files.values():
        for block in parsed(text).get("resource", ()):
            for kind, named in block.items():
                for name, body in named.items():
                    yield kind, name, body


def sources() -> Mapping[str, str]:
    return {path.name: path.read_text() for path in sorted(AKS.glob("*.tf"))}


def schema(file: Path) -> Mapping[str, Any]:
    read: Mapping[str, Any] = json.loads(file.read_text())["resources"]
    return read


def one(block: Any) -> Body:
    """A block that may be there once."""
    found: Body = block[0] if isinstance(block, list) else block
    return found


def unknown(known: Mapping[str, Any], body: Body, where: str) -> Iterator[str]:
    """The arguments that the provider does not have, and those that it misses."""
    given = {name: value for name, value in body.items() if name not in OF_TERRAFORM}
    for dynamic in body.get("dynamic", ()):
        for name, block in dynamic.items():
            given[name] = one(block)["content"]
    for name, value in given.items():
        if name not in known:
            yield f"{where} has no argument {name}"
        elif "block" in known[name]:
            for each in value if isinstance(value, list) else [value]:
                yield from unknown(known[name]["block"], each, f"{where}.{name}")
    for name, argument in known.items():
        if argument["required"] and name not in given:
            yield f"{where} needs {name}"


def refused(kind: str, body: Body) -> Iterator[str]:
    """What the provider refuses though its schema has it."""
    if kind == POOL:
        yield from _refused_of_pool(body)
    if kind == CLUSTER:
        # ExactlyOneOf, 00378cfc.
        if len({"dns_prefix", "dns_prefix_private_cluster"} & set(body)) != 1:
            yield "exactly one of dns_prefix and dns_prefix_private_cluster"
        if "workload_identity_enabled" in body and "oidc_issuer_enabled" not in body:
            yield "workload_identity_enabled needs oidc_issuer_enabled"
        yield from _refused_name(one(body["default_node_pool"]))


def _refused_of_pool(body: Body) -> Iterator[str]:
    settings = one(body["upgrade_settings"]) if "upgrade_settings" in body else None
    # Required from 5.0 on (features.FivePointOh), 028a6fd9.
    if settings is None:
        yield "upgrade_settings is required from 5.0 on"
    elif {"max_surge", "max_unavailable"} <= set(settings):
        yield "upgrade_settings: max_surge conflicts with max_unavailable"
    elif not {"max_surge", "max_unavailable"} & set(settings):
        yield "upgrade_settings: either max_surge or max_unavailable"
    # Of a spot pool neither (CustomizeDiff, 028a6fd9).
    if "priority" in body and settings:
        spot = re.match(r"\$?\{?(.*) \? \"?Spot", str(body["priority"]))
        for name in {"max_surge", "max_unavailable"} & set(settings):
            if not spot or not str(settings[name]).removeprefix("${").startswith(
                f"{spot[1]} ? null"
            ):
                yield f"upgrade_settings: {name} is not null where the pool is spot"
    if "eviction_policy" in body and "priority" not in body:
        yield "eviction_policy is of spot pools"
    yield from _refused_name(body)


def _refused_name(body: Body) -> Iterator[str]:
    if CYCLES & set(body) and "temporary_name_for_rotation" not in body:
        changed = ", ".join(sorted(CYCLES & set(body)))
        yield f"temporary_name_for_rotation must be there when any of these changes: {changed}"


def complaints(files: Mapping[str, str], provider: Path) -> list[str]:
    known = schema(provider)
    found: list[str] = []
    for kind, name, body in resources(files):
        where = f"{kind}.{name}"
        found += unknown(known[kind], body, where)
        found += [f"{where}: {each}" for each in refused(kind, body)]
    return found


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda path: path.stem)
def test_the_provider_takes_every_resource(provider: Path) -> None:
    assert complaints(sources(), provider) == []


# A change of one file, and what the provider says to it.
BROKEN = [
    (
        "gpu.tf",
        'max_unavailable = each.value.spot ? null : "1"',
        'max_surge = "0"\n    max_unavailable = each.value.spot ? null : "1"',
        "max_surge conflicts with max_unavailable",
    ),
    ("gpu.tf", 'each.value.spot ? null : "1"', '"1"', "max_unavailable is not null where the pool"),
    ("gpu.tf", 'max_unavailable = each.value.spot ? null : "1"', "", "either max_surge or max_un"),
    ("gpu.tf", "temporary_name_for_rotation", "tags_all", "temporary_name_for_rotation must be"),
    ("gpu.tf", "temporary_name_for_rotation", "tags_all", "has no argument tags_all"),
    ("main.tf", "  oidc_issuer_enabled       = true\n", "", "workload_identity_enabled needs"),
    ("main.tf", "dns_prefix          = var.name", "", "exactly one of dns_prefix"),
    ("main.tf", 'network_plugin      = "azure"', "", "network_profile needs network_plugin"),
    ("main.tf", 'max_surge = "33%"', 'max_unavailable = "1"', "has no argument max_unavailable"),
    ("main.tf", "authorized_ip_ranges", "ip_ranges", "has no argument ip_ranges"),
    ("identity.tf", "user_assigned_identity_id", "parent", "has no argument parent"),
]


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda path: path.stem)
@pytest.mark.parametrize(("file", "old", "new", "said"), BROKEN)
def test_what_the_provider_refuses_is_found(
    provider: Path, file: str, old: str, new: str, said: str
) -> None:
    files = dict(sources())
    assert old in files[file]
    files[file] = files[file].replace(old, new)
    assert any(said in complaint for complaint in complaints(files, provider))


def test_pools_of_all_sizes_have_names_that_azure_takes() -> None:
    """Of Linux pools: a letter, then at most eleven letters and digits."""
    (sizes,) = [
        block["gpu_sizes"]
        for text in sources().values()
        for block in parsed(text).get("locals", ())
        if "gpu_sizes" in block
    ]
    temporary = "${each.key}tmp"
    names = {body.get("temporary_name_for_rotation") for kind, _, body in resources(sources())}
    assert temporary in names
    for name in sizes:
        for each in (name, temporary.replace("${each.key}", name)):
            assert re.fullmatch("[a-z][a-z0-9]{0,11}", each), each


def test_every_pool_has_the_clusters_version_subnet_and_system() -> None:
    pools = [body for kind, _, body in resources(sources()) if kind == POOL]
    cluster = next(body for kind, _, body in resources(sources()) if kind == CLUSTER)
    pools.append(one(cluster["default_node_pool"]))
    assert len(pools) == 3
    for name in ("orchestrator_version", "vnet_subnet_id", "os_sku"):
        assert len({str(pool[name]) for pool in pools}) == 1, name
    assert pools[0]["orchestrator_version"] == cluster["kubernetes_version"]


def test_versions_that_were_compared_are_those_that_are_allowed() -> None:
    allowed = re.search(r'version = ">= ([\d.]+), < (\d+)', (AKS / "versions.tf").read_text())
    assert allowed
    compared = [json.loads(path.read_text())["provider"].split()[1] for path in PROVIDERS]
    assert compared[0].startswith(f"{allowed[1]}.")
    assert int(compared[-1].split(".")[0]) == int(allowed[2]) - 1
