"""The mesh that is measured keeps what it is told to keep on a server, and else in files."""

import subprocess
import sys
from pathlib import Path

from loadtest.processes import SERVICES, _planned

_SERVER = "postgresql://mesh:secret@127.0.0.1:5432/mesh"


def environments(folder: Path, **stores: str) -> dict[str, dict[str, str]]:
    mesh = _planned(folder, {}, stores)
    return {name: mesh.processes[name].environment for name in SERVICES}


def test_only_what_is_named_is_kept_on_a_server(tmp_path: Path) -> None:
    told = environments(tmp_path, conversations=_SERVER)
    assert told["context_assembly"]["CONTEXT_ASSEMBLY_TURNS_URL"] == _SERVER
    assert told["memory"]["MEMORY_STORE_URL"] == f"sqlite:{tmp_path}/memory.sqlite"
    assert told["gateway"]["GATEWAY_ACCOUNTS_URL"] == f"sqlite:{tmp_path}/gateway.sqlite"


def test_keys_are_made_where_the_gateway_looks_for_them(tmp_path: Path) -> None:
    assert _planned(tmp_path, {}, {"accounts": _SERVER}).accounts == _SERVER
    assert _planned(tmp_path, {}, {"facts": _SERVER}).accounts == ""


def test_a_store_that_a_part_would_not_use_is_refused() -> None:
    asked = ["latency", "stages", "--mesh-store", "facts", _SERVER]
    command = [sys.executable, "-m", "loadtest", *asked]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "--mesh-store changes nothing for stages" in refused.stderr
