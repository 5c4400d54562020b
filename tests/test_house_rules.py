"""The rules of the house, checked on what stands in it."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SERVICES = (
    "context_assembly",
    "gateway",
    "inference",
    "memory",
    "moderation",
    "tokenizer",
    "tool_runner",
)
NEIGHBOURS = {"shared", "local", "cluster"}  # what all need; the mesh on one machine; on many
ROOMS = {
    "README.md",
    "__init__.py",
    "__main__.py",
    "adapters",
    "api.py",
    "client.py",
    "codec.py",
    "config.py",
    "ports.py",
    "server.py",
    "wiring.py",
}
CORES = {
    "context_assembly": "assembler",
    "gateway": "turn",
    "inference": "engine",
    "memory": "keeper",
    "moderation": "screener",
    "tokenizer": "encoder",
    "tool_runner": "runner",
}
# Folders of a service that are not rooms of every house.
OWN_ROOMS = {
    "gateway": {"http", "web"},
    "inference": {"demo_model"},
    "moderation": {"training"},
    "tool_runner": {"tools"},
}
# Where the wire and the outside may be known by name.
OUTSIDE = {"adapters", "http", "demo_model", "training", "codec", "server", "client", "wiring"}
BANNED_NAMES = re.compile(
    r"^_*(utils?|helpers?|common|managers?|handlers?|data|info|process_\w+|do_\w+|\w+_impl|new_\w+|v2)$"
)

# Names that a framework gave.
GIVEN_NAMES = {"get_route_handler"}


def modules(folder: Path) -> list[Path]:
    """Ours; the generated ones and the caches are nobody's."""
    return [path for path in sorted(folder.rglob("*.py")) if ".venv" not in path.parts]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def product() -> list[Path]:
    return modules(ROOT / "services")


def where(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_services_are_these_seven_and_their_neighbours() -> None:
    folders = {path.name for path in (ROOT / "services").iterdir() if path.is_dir()}
    assert folders - {"__pycache__"} == {*SERVICES, *NEIGHBOURS}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_the_rooms_of_the_house(service: str) -> None:
    inside = {path.name for path in (ROOT / "services" / service).iterdir()} - {"__pycache__"}
    assert inside >= ROOMS
    assert f"{CORES[service]}.py" in inside
    folders = {name for name in inside if (ROOT / "services" / service / name).is_dir()}
    assert folders <= {"adapters", *OWN_ROOMS.get(service, set())}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_in_three_lines(service: str) -> None:
    lines = (ROOT / "services" / service / "__main__.py").read_text().splitlines()
    assert len([line for line in lines if line and not line.startswith(("#", '"""'))]) <= 4


def test_protos_are_named_as_their_folders_and_packages() -> None:
    protos = list((ROOT / "protos" / "chatmesh").rglob("*.proto"))
    assert {proto.stem for proto in protos} == {*SERVICES, "shared"}
    for proto in protos:
        assert proto.parts[-3:] == (proto.stem, "v1", f"{proto.stem}.proto")
        assert f"package chatmesh.{proto.stem}.v1;" in proto.read_text()


def test_every_rpc_has_a_request_and_a_response_of_its_own_and_says_what_it_promises() -> None:
    for proto in (ROOT / "protos" / "chatmesh").rglob("*.proto"):
        lines = proto.read_text().splitlines()
        for number, line in enumerate(lines):
            match = re.match(
                r"  rpc (\w+)\((?:stream )?(\w+)\) returns \((?:stream )?(\w+)\)", line
            )
            if match:
                name, request, response = match.groups()
                assert (request, response) == (f"{name}Request", f"{name}Response"), where(proto)
                if proto.stem != "gateway":
                    assert lines[number - 1].strip().startswith("//"), f"{where(proto)}: {name}"


def test_enums_begin_with_unspecified() -> None:
    for proto in (ROOT / "protos" / "chatmesh").rglob("*.proto"):
        for body in re.findall(r"enum \w+ \{(.*?)\}", proto.read_text(), re.DOTALL):
            first = next(line for line in body.splitlines() if "=" in line)
            assert re.search(r"_UNSPECIFIED = 0;", first), where(proto)


def test_cores_know_no_wire_no_environment_and_no_adapter() -> None:
    for service in SERVICES:
        for path in modules(ROOT / "services" / service):
            inner = path.relative_to(ROOT / "services" / service).with_suffix("").parts
            if OUTSIDE & set(inner) or inner[-1] in {"__main__", "config"}:
                continue
            for name in imported(path):
                top = name.split(".")[0]
                assert top not in {"grpc", "google", "chatmesh"}, f"{where(path)}: {name}"
                assert ".adapters" not in name, f"{where(path)}: {name}"
            assert "environ" not in path.read_text(), where(path)


def test_names_say_what_they_are() -> None:
    for path in product():
        assert not BANNED_NAMES.match(path.stem), where(path)
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                if node.name in GIVEN_NAMES:
                    continue
                name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node.name).lower()
                assert not BANNED_NAMES.match(name), f"{where(path)}: {node.name}"
                last = name.rpartition("_")[2]
                assert last not in {"manager", "handler", "helper", "utils"}, (
                    f"{where(path)}: {name}"
                )


def test_a_broad_except_stands_only_where_a_failure_leaves_the_mesh() -> None:
    allowed = {"services/gateway/http/carriers.py"}
    for path in product():
        if where(path).startswith("services/shared/") or where(path) in allowed:
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "everything"
                assert caught not in {"Exception", "everything"}, f"{where(path)}:{node.lineno}"


def test_no_test_sleeps() -> None:
    for path in modules(ROOT / "tests"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("sleep"):
                (argument,) = node.args
                assert ast.unparse(argument) == "0", f"{where(path)}:{node.lineno}"


def test_no_file_of_ours_names_a_package_registry() -> None:
    hosts = re.compile(
        r"(pypi|pythonhosted|npmjs|crates|maven|golang)\.(org|io|com)", re.IGNORECASE
    )
    for folder in ("services", "protos", "tests", "loadtest", "requirements", ".ci"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix in {".py", ".txt", ".md", ".toml", ".proto", ""}:
                found = hosts.search(path.read_text(errors="replace"))
                assert not found or path.name == Path(__file__).name, where(path)


def test_the_turn_in_the_readme_is_the_turn_in_the_code() -> None:
    """Files and functions of its table exist; a bare file name is the gateway's."""
    table = (
        (ROOT / "README.md").read_text().partition("## A turn, step by step")[2].partition("##")[0]
    )
    named = re.findall(r"`([\w/]+\.py)`(?: `(\w+)(?:\.(\w+))?`)?", table)
    assert len(named) > 15
    for file, outer, inner in named:
        path = ROOT / (file if file.startswith("services/") else f"services/gateway/{file}")
        for name in filter(None, (outer, inner)):
            assert re.search(rf"(class|def) {name}\b", path.read_text()), f"{file}: {name}"
        assert path.is_file(), file


def test_make_test_runs_every_suite() -> None:
    """A target that has lost its recipe is green, and runs nothing."""
    goals = re.findall(r"^test: (.+?) ##", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()
    command = ["make", "--dry-run", *(goal for goal in goals if goal != "check")]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    run = set(re.findall(r"pytest -q tests/(\w+)", told))
    tests = (path.relative_to(ROOT / "tests") for path in ROOT.glob("tests/*/**/test_*.py"))
    assert run == {path.parts[0] for path in tests} - {"cluster"}  # that one needs a cluster
