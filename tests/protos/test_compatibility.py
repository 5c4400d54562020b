"""Services of one release talk to those of the next: nothing that the last one said was changed.

`protos/released.binpb` is what the last release said; `make released-protos` writes it anew.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

PROTOS = Path(__file__).parents[2] / "protos"
RELEASED = PROTOS / "released.binpb"
CHANGED = "chatmesh/tool_runner/v1/tool_runner.proto"
pytestmark = pytest.mark.skipif(
    not shutil.which("buf"), reason="buf missing: `make protos-test` builds it with Go"
)


def complaints(protos: Path) -> str:
    command = ["buf", "breaking", str(protos), "--against", str(RELEASED)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    assert bool(done.stdout) == bool(done.returncode)
    return done.stdout


def test_the_last_release_is_understood() -> None:
    assert complaints(PROTOS) == ""


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (r"Part parts = 3", "Part parts = 4", 'field "3" with name "parts"'),
        (r"[\w.]+Part parts = 3", "string parts = 3", 'from "message" to "string"'),
        (r"  Failure failure = 2;", "", 'field "2" with name "failure"'),
        (r"FAILURE_REFUSED = 4;", "", 'value "4"'),
        (r"  rpc Run\(.*;", "", 'RPC "Run"'),
        (r"returns \(ListToolsResponse\)", "returns (RunResponse)", 'RPC "ListTools"'),
    ],
)
def test_a_change_that_neighbours_would_not_understand_is_named(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    shutil.copytree(PROTOS, tmp_path, ignore=shutil.ignore_patterns("gen"), dirs_exist_ok=True)
    file = tmp_path / CHANGED
    text, times = re.subn(old, new, file.read_text())
    assert times == 1
    file.write_text(text)
    found = complaints(tmp_path)
    assert CHANGED in found
    assert complaint in found


def test_what_is_added_breaks_nothing(tmp_path: Path) -> None:
    shutil.copytree(PROTOS, tmp_path, ignore=shutil.ignore_patterns("gen"), dirs_exist_ok=True)
    file = tmp_path / CHANGED
    text = file.read_text().replace("Part parts = 3;", "Part parts = 3; bytes extra = 9;")
    assert text != file.read_text()
    file.write_text(text)
    assert complaints(tmp_path) == ""
