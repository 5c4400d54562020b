"""The rules of the house, checked on what stands in it."""

import ast
import re
import subprocess
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path, PurePath

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
    "gateway": {"http", "scaling", "web"},
    "inference": {"demo_model"},
    "moderation": {"training"},
    "tool_runner": {"tools"},
}
# Where the wire and the outside may be known by name.
OUTSIDE = {"adapters", "http", "demo_model", "training", "codec", "server", "client", "wiring"}
# What is in these folders, or bears these names, is no core.
NO_CORE_FOLDERS = {"adapters", "http", "scaling", "web", "tools", "demo_model", "training"}
NO_CORE_FILES = {path.removesuffix(".py") for path in ROOMS}
# Programs that make a model: they run alone, and their words are those of their own subject.
MODEL_MAKING = {"demo_model", "training"}
LONGEST_FUNCTION = 40
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


def sources() -> dict[PurePath, str]:
    """The product's modules, by their paths within `services/`."""
    return {path.relative_to(ROOT / "services"): path.read_text() for path in product()}


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
    assert {proto.stem for proto in protos} == {*SERVICES, "shared", "conversation"}
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
    for path in product():
        if where(path).startswith("services/shared/"):
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


def cores_without_test(paths: Iterable[PurePath], tests: Container[PurePath]) -> list[str]:
    """The modules of cores after which no unit test is named. Paths are within their tree."""
    return [
        str(path)
        for path in paths
        if path.parts[0] in SERVICES
        and not NO_CORE_FOLDERS & set(path.parts[1:-1])
        and path.stem not in NO_CORE_FILES
        and path.with_name(f"test_{path.name}") not in tests
    ]


def test_every_core_module_has_a_unit_test() -> None:
    unit = ROOT / "tests" / "unit"
    tests = {path.relative_to(unit) for path in unit.rglob("test_*.py")}
    assert cores_without_test(sources(), tests) == []


def test_a_core_module_without_a_unit_test_is_named() -> None:
    paths = map(
        PurePath,
        [
            "gateway/turn.py",
            "gateway/reply.py",
            "gateway/wiring.py",
            "gateway/adapters/sqlite.py",
            "gateway/http/sse.py",
            "tool_runner/tools/clock.py",
            "shared/ids.py",
        ],
    )
    assert cores_without_test(paths, {PurePath("gateway/test_turn.py")}) == ["gateway/reply.py"]


def long_functions(source: str) -> list[str]:
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > LONGEST_FUNCTION
    ]


def test_no_function_is_longer_than_a_page() -> None:
    found = {str(path): long_functions(source) for path, source in sources().items()}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(("lines", "found"), [(40, []), (41, ["turn"])])
def test_a_function_that_is_longer_is_named(lines: int, found: list[str]) -> None:
    body = "    pass\n" * (lines - 1)
    assert long_functions(f"async def turn() -> None:\n{body}") == found


def edges(name: str, source: str, names: Container[str]) -> set[str]:
    """The modules among `names` that a module imports, also later, within a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {each for each in found if each in names} - {name}


def circles(modules: Mapping[str, str]) -> list[str]:
    """The modules, by name and source, that import themselves by way of others."""
    imports = {name: edges(name, source, modules) for name, source in modules.items()}

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        left = list(imports[start])
        while left:
            if (one := left.pop()) not in seen:
                seen.add(one)
                left += imports[one]
        return seen

    return sorted(name for name in imports if name in reached(name))


def test_no_modules_import_each_other() -> None:
    named = {
        ".".join(("services", *path.with_suffix("").parts)).removesuffix(".__init__"): source
        for path, source in sources().items()
    }
    assert circles(named) == []


def test_modules_that_import_each_other_are_named_also_where_one_does_it_later() -> None:
    found = circles(
        {
            "services.a": "from services.b import thing",
            "services.b": "import services.c",
            "services.c": "def late():\n    from services import a",
            "services.d": "from services.a import thing",
        }
    )
    assert found == ["services.a", "services.b", "services.c"]


def classes(source: str) -> list[str]:
    """The public ones."""
    body = ast.parse(source).body
    return [
        node.name
        for node in body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]


def namesakes(modules: Mapping[PurePath, str]) -> dict[str, list[str]]:
    """Public classes that share a name, with their modules.

    A port may be called like the promise or the shared class of which it asks for a part, and
    adapters of two services may be called alike: `MeteredMemory` counts for who asks and for who
    answers.
    """
    found: dict[str, list[PurePath]] = defaultdict(list)
    for path, source in modules.items():
        if not MODEL_MAKING & set(path.parts):
            for name in classes(source):
                found[name].append(path)
    return {
        name: [str(path) for path in paths]
        for name, paths in found.items()
        if len(paths) > 1 and not may_share(paths)
    }


def may_share(paths: Iterable[PurePath]) -> bool:
    asking = [path for path in paths if path.name == "ports.py"]
    others = [path for path in paths if path not in asking]
    if not asking:
        return all("adapters" in path.parts for path in others)
    return len(others) == 1 and (others[0].name == "api.py" or others[0].parts[0] == "shared")


def test_a_class_name_means_one_thing() -> None:
    assert namesakes(sources()) == {}


def test_classes_that_share_a_name_are_named() -> None:
    reading, memory = "class Reading:\n    pass\n", "class Memory:\n    pass\n"
    modules = {
        "memory/api.py": memory,
        "context_assembly/ports.py": memory,
        "tool_runner/ports.py": memory,
        "memory/adapters/metered.py": "class MeteredMemory:\n    pass\n",
        "context_assembly/adapters/metered.py": "class MeteredMemory:\n    pass\n",
        "memory/succession.py": reading,
        "moderation/ports.py": reading,
        "inference/demo_model/scene.py": reading,
        "inference/models.py": "class _Reading:\n    pass\n",
    }
    found = namesakes({PurePath(path): source for path, source in modules.items()})
    assert found == {"Reading": ["memory/succession.py", "moderation/ports.py"]}


def test_make_test_runs_every_suite() -> None:
    """A target that has lost its recipe is green, and runs nothing."""
    goals = re.findall(r"^test: (.+?) ##", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()
    command = ["make", "--dry-run", *(goal for goal in goals if goal != "check")]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    run = set(re.findall(r"pytest -q tests/(\w+)", told))
    tests = (path.relative_to(ROOT / "tests") for path in ROOT.glob("tests/*/**/test_*.py"))
    assert run == {path.parts[0] for path in tests} - {"cluster"}  # that one needs a cluster
