"""Models out of object storage, on a real S3 server (versitygw, which `make contract` builds)."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import obstore
import pytest
from click.testing import CliRunner
from obstore.store import ObjectStore, from_url

from services.shared.object_storage import NotFetched, fetch, main

URL = "s3://models/qwen/small"
MODEL = {
    "config.json": b"{}",
    "tokenizer.json": b'{"model": 1}',
    "model-00001.safetensors": os.urandom(3 * 2**20),
    "model-00002.safetensors": os.urandom(100),
    "extra/chat_template.jinja": b"{{ messages }}",
}
WEIGHTS = {name for name in MODEL if name.endswith(".safetensors")}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 server's address."""
    program = shutil.which("versitygw")
    if not program:
        pytest.skip("versitygw missing: `make contract` builds it with Go")
    folder = tmp_path_factory.mktemp("buckets")
    (folder / "models").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    command = [program, "--quiet", "--port", f"127.0.0.1:{port}", "--access", "us"]
    command += ["--secret", "secret", "posix", "--nometa", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@pytest.fixture
def store(server: str, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """A folder in a bucket, with the model in it; its keys are in the environment."""
    variables = {"ENDPOINT_URL": server, "ALLOW_HTTP": "true", "REGION": "us-east-1"}
    variables |= {"ACCESS_KEY_ID": "us", "SECRET_ACCESS_KEY": "secret"}
    for name, value in variables.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    made = from_url(URL)
    for path, content in MODEL.items():
        obstore.put(made, path, content)
    return made


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.name != ".lock"
    }


def fetched(folder: Path, url: str = URL, *, weights: bool = True) -> set[str]:
    return {file.path for file in fetch(url, folder, weights=weights)}


def test_a_model_arrives_whole_and_only_once(store: ObjectStore, tmp_path: Path) -> None:
    assert fetched(tmp_path) == set(MODEL)
    assert content(tmp_path) == MODEL
    assert fetched(tmp_path) == set()


def test_what_changed_is_fetched_again(store: ObjectStore, tmp_path: Path) -> None:
    fetched(tmp_path)
    obstore.put(store, "config.json", b'{"layers": 2}')
    assert fetched(tmp_path) == {"config.json"}
    assert (tmp_path / "config.json").read_bytes() == b'{"layers": 2}'


def test_what_an_interrupted_run_left_is_not_taken_for_a_file(
    store: ObjectStore, tmp_path: Path
) -> None:
    fetched(tmp_path)
    big = tmp_path / "model-00001.safetensors"
    big.write_bytes(b"half")
    big.with_name(f"{big.name}.partial").write_bytes(b"of an earlier run")
    assert fetched(tmp_path) == {big.name}
    assert content(tmp_path) == MODEL


def test_a_tokenizer_takes_no_weights(store: ObjectStore, tmp_path: Path) -> None:
    assert fetched(tmp_path, weights=False) == set(MODEL) - WEIGHTS
    assert fetched(tmp_path) == WEIGHTS


def test_of_several_at_once_one_fetches(store: ObjectStore, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(fetched, [tmp_path] * 4))
    assert sorted(len(files) for files in found) == [0, 0, 0, len(MODEL)]
    assert content(tmp_path) == MODEL


def test_a_wrong_key_is_named(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with pytest.raises(NotFetched, match=r"qwen/small cannot be read: .*403 Forbidden.*AWS_\*"):
        fetched(tmp_path)
    assert content(tmp_path) == {}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://models/qwen/large", "holds nothing, and no config.json"),
        ("s3://models/qwen/small/extra", "holds 1 files, and no config.json"),
        ("s3://nowhere/at/all", "nowhere/at/all cannot be read: .*404 Not Found"),
        ("ftp://models/qwen", "ftp://models/qwen cannot be read"),
    ],
)
def test_what_is_no_model_is_named(store: ObjectStore, tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(NotFetched, match=said):
        fetched(tmp_path, url)


def test_a_folder_that_cannot_be_written_is_named(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(NotFetched, match="file/model cannot be written"):
        fetched(tmp_path / "file" / "model")


def test_the_command_tells_each_file_and_fails_in_one_line(
    store: ObjectStore, tmp_path: Path
) -> None:
    done = CliRunner().invoke(main, [URL, str(tmp_path), "--without-weights"])
    assert done.exit_code == 0
    assert "fetched tokenizer.json, 0.0 MiB" in done.output
    assert done.output.splitlines()[-1] == f"{tmp_path} is up to date: 3 files fetched, 0.0 MiB"
    failed = CliRunner().invoke(main, ["s3://models/none", str(tmp_path)])
    assert failed.exit_code == 1
    assert failed.output.startswith("object storage: s3://models/none holds nothing")
    assert failed.output.count("\n") == 1
