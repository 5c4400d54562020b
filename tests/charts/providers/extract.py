"""Makes azurerm-*.json: which arguments the resources that k8s/aks uses have, and which they need.

    pip download --no-deps cdktn-provider-azurerm==18.9.0
    python tests/charts/providers/extract.py cdktn_provider_azurerm-18.9.0-py3-none-any.whl

The wheel holds what CDK Terrain generates of the provider's own schema; its metadata names the
provider's version. That schema does not say what excludes what: test_terraform.py does.
"""

import io
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

TYPES = (
    "azurerm_container_registry",
    "azurerm_federated_identity_credential",
    "azurerm_kubernetes_cluster",
    "azurerm_kubernetes_cluster_node_pool",
    "azurerm_resource_group",
    "azurerm_role_assignment",
    "azurerm_subnet",
    "azurerm_user_assigned_identity",
    "azurerm_virtual_network",
)
_FIELD = re.compile(r"#(\w+) \w+#\1\}.*?readonly \w+(\??): ([^;]+);", re.DOTALL)
_INTERFACE = re.compile(r"export interface (\w+)[^{]*\{(.*?)\n\}", re.DOTALL)


def schema(types: str, name: str) -> dict[str, Any]:
    """`{argument: {"required": bool, "block": {...}}}`; without `block` it is a plain value."""
    interfaces = dict(_INTERFACE.findall(types))

    def fields(interface: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for argument, optional, kind in _FIELD.findall(interfaces[interface]):
            found[argument] = {"required": not optional}
            inner = next((one for one in re.findall(r"\w+", kind) if one in interfaces), None)
            if inner:
                found[argument]["block"] = fields(inner)
        return found

    return fields(next(each for each in interfaces if each == f"{name}Config"))


def main() -> None:
    wheel = zipfile.ZipFile(sys.argv[1])
    names = wheel.namelist()
    metadata = wheel.read(next(n for n in names if n.endswith("METADATA"))).decode()
    version = re.search(r"azurerm provider version ([\d.]+)", metadata)
    assert version
    archive = wheel.read(next(n for n in names if n.endswith(".jsii.tgz")))
    resources = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as package:
        files = {member.name: member for member in package.getmembers()}
        for kind in TYPES:
            folder = kind.removeprefix("azurerm_").replace("_", "-")
            reading = package.extractfile(files[f"package/lib/{folder}/index.d.ts"])
            assert reading
            camel = folder.title().replace("-", "")
            resources[kind] = schema(reading.read().decode(), camel)
    made = {
        "provider": f"hashicorp/azurerm {version[1]}",
        "source": f"PyPI {Path(sys.argv[1]).name} (MPL-2.0)",
        "resources": resources,
    }
    file = Path(__file__).parent / f"azurerm-{version[1]}.json"
    file.write_text(json.dumps(made, indent=1) + "\n")
    print(f"wrote {file}")


if __name__ == "__main__":
    main()
