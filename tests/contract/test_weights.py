"""What fetches a model does, wherever the model is kept."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from huggingface_hub import constants

from services.shared.weights import NotFetched, fetch
from tests.fakes import hub, stores

MODEL = {
    "config.json": b"{}",
    "tokenizer.json": b'{"model": 1}',
    "model-00001.safetensors": os.urandom(3 * 2**20),
    "model-00002.safetensors": os.urandom(100),
    "extra/chat_template.jinja": b"{{ messages }}",
}
WEIGHTS = {name for name in MODEL if name.endswith(".safetensors")}
SOURCES = ("hub", "s3", "az", "gs")


@dataclass(frozen=True, slots=True)
class Kept:
    """The model, where it is kept; its keys are in the environment."""

    url: str
    put: Callable[[str, bytes], object]
    # A variable that would be wrong, and the word by which the source says so.
    wrong: tuple[str, str] | None


@pytest.fixture(scope="module")
def buckets(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], stores.ObjectStore]]:
    """Each server, from when it is first asked for."""
    serving = {"s3": stores.s3, "az": stores.azure, "gs": stores.google}
    with stores.Servers(serving, tmp_path_factory) as servers:
        yield servers


@pytest.fixture(params=SOURCES)
def kept(
    request: pytest.FixtureRequest,
    buckets: Callable[[str], stores.ObjectStore],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Kept]:
    if request.param == "hub":
        with hub.served(hub.Hub("qwen/small", dict(MODEL), token="hf_right")) as served:
            on_hub(served, monkeypatch)
            wrong = ("HF_TOKEN", "gated")
            yield Kept("hf://qwen/small", served.files.__setitem__, wrong)
        return
    bucket = buckets(request.param)
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)

    def put(path: str, content: bytes) -> None:
        bucket.put(f"qwen/small/{path}", content)

    for path, content in MODEL.items():
        put(path, content)
    wrong_of: Mapping[str, tuple[str, str]] = {
        "s3": ("AWS_SECRET_ACCESS_KEY", "403 Forbidden"),
        "az": ("AZURE_STORAGE_ACCOUNT_KEY", "403 Forbidden"),
    }
    yield Kept(f"{bucket.scheme}://models/qwen/small", put, wrong_of.get(bucket.scheme))


def on_hub(served: hub.Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client has read HF_ENDPOINT when it was imported; another process reads it then."""
    monkeypatch.setenv("HF_ENDPOINT", served.url)
    monkeypatch.setenv("HF_TOKEN", served.token)
    template = f"{served.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", served.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def content(folder: Path) -> dict[str, bytes]:
    """Without what fetching itself keeps there."""
    files = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return {
        str(file): (folder / file).read_bytes()
        for file in files
        if not file.parts[0].startswith(".")
    }


def fetched(kept: Kept, folder: Path, *, weights: bool = True) -> set[str]:
    return {file.path for file in fetch(kept.url, folder, weights=weights)}


def test_a_model_arrives_whole_and_only_once(kept: Kept, tmp_path: Path) -> None:
    assert fetched(kept, tmp_path) == set(MODEL)
    assert content(tmp_path) == MODEL
    assert fetched(kept, tmp_path) == set()


def test_what_changed_is_fetched_again(kept: Kept, tmp_path: Path) -> None:
    fetched(kept, tmp_path)
    kept.put("config.json", b'{"layers": 2}')
    assert fetched(kept, tmp_path) == {"config.json"}
    assert (tmp_path / "config.json").read_bytes() == b'{"layers": 2}'


def test_a_tokenizer_takes_no_weights(kept: Kept, tmp_path: Path) -> None:
    assert fetched(kept, tmp_path, weights=False) == set(MODEL) - WEIGHTS
    assert set(content(tmp_path)) == set(MODEL) - WEIGHTS
    assert fetched(kept, tmp_path) == WEIGHTS


def test_of_several_at_once_one_fetches(kept: Kept, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(fetched, [kept] * 4, [tmp_path] * 4))
    assert sorted(len(files) for files in found) == [0, 0, 0, len(MODEL)]
    assert content(tmp_path) == MODEL


@pytest.mark.parametrize("kept", ["s3", "az", "gs"], indirect=True)
def test_what_an_interrupted_run_left_is_not_taken_for_a_file(kept: Kept, tmp_path: Path) -> None:
    fetched(kept, tmp_path)
    big = tmp_path / "model-00001.safetensors"
    big.write_bytes(b"half")
    big.with_name(f"{big.name}.partial").write_bytes(b"of an earlier run")
    assert fetched(kept, tmp_path) == {big.name}
    assert content(tmp_path) == MODEL


@pytest.mark.parametrize("kept", ["hub", "s3", "az"], indirect=True)
def test_a_wrong_key_is_named(kept: Kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert kept.wrong
    variable, said = kept.wrong
    monkeypatch.setenv(variable, "d3Jvbmc=")
    with pytest.raises(NotFetched, match=rf"qwen/small cannot be read: .*{said}.*{variable[:3]}"):
        fetched(kept, tmp_path)
    assert content(tmp_path) == {}


@pytest.mark.parametrize("kept", ["s3"], indirect=True)
def test_a_pods_own_identity_is_enough(
    kept: Kept,
    buckets: Callable[[str], stores.ObjectStore],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    token = tmp_path / "token"
    with stores.pod_identity(buckets("s3").environment, token) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert fetched(kept, tmp_path / "known") == set(MODEL)
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "none"))
        with pytest.raises(NotFetched, match="cannot be read"):
            fetched(kept, tmp_path / "stranger")


@pytest.mark.parametrize("kept", ["hub", "s3", "az"], indirect=True)
def test_what_was_fetched_before_does_for_a_source_that_refuses(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fetched(kept, tmp_path, weights=False)
    assert kept.wrong
    monkeypatch.setenv(kept.wrong[0], "d3Jvbmc=")
    assert fetched(kept, tmp_path, weights=False) == set()
    with pytest.raises(NotFetched):  # the weights never were there
        fetched(kept, tmp_path)


def test_a_folder_that_cannot_be_written_is_named(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(NotFetched, match="file/model cannot be written"):
        fetched(kept, tmp_path / "file" / "model")


@pytest.mark.parametrize("kept", ["s3"], indirect=True)
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://models/qwen/large", "holds nothing, and no config.json"),
        ("s3://models/qwen/small/extra", "holds 1 files, and no config.json"),
        ("s3://nowhere/at/all", "nowhere/at/all cannot be read: .*404 Not Found"),
        ("ftp://models/qwen", "ftp://models/qwen cannot be read"),
    ],
)
@pytest.mark.usefixtures("kept")
def test_what_is_no_model_is_named(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(NotFetched, match=said):
        list(fetch(url, tmp_path))


@pytest.mark.parametrize("kept", ["hub"], indirect=True)
@pytest.mark.parametrize("url", ["hf://qwen/none", "hf://qwen/small@v9"])
@pytest.mark.usefixtures("kept")
def test_what_is_not_on_the_hub_is_named(tmp_path: Path, url: str) -> None:
    with pytest.raises(NotFetched, match=rf"{url} cannot be read: .*404.*is the id right"):
        list(fetch(url, tmp_path))


@pytest.mark.parametrize("kept", ["hub"], indirect=True)
def test_a_revision_stays_what_it_was(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with hub.served(hub.Hub("qwen/small", dict(MODEL))) as served:
        on_hub(served, monkeypatch)
        pinned = f"{kept.url}@{served.commit}"
        assert {file.path for file in fetch(pinned, tmp_path)} == set(MODEL)
        served.files["config.json"] = b'{"layers": 2}'
        assert list(fetch(pinned, tmp_path)) == []
    assert content(tmp_path) == MODEL


def test_the_command_tells_each_file(kept: Kept, tmp_path: Path) -> None:
    done = command(kept.url, str(tmp_path), "--without-weights")
    assert done.returncode == 0, done.stderr
    assert "fetched tokenizer.json, 0.0 MiB" in done.stdout
    assert done.stdout.splitlines()[-1] == f"{tmp_path} is up to date: 3 files fetched, 0.0 MiB"


@pytest.mark.parametrize("kept", ["s3"], indirect=True)
@pytest.mark.usefixtures("kept")
def test_the_command_fails_in_one_line(tmp_path: Path) -> None:
    done = command("s3://models/none", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("weights: s3://models/none holds nothing")
    assert done.stderr.count("\n") == 1


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    ran = [sys.executable, "-m", "services.shared.weights", *arguments]
    return subprocess.run(ran, capture_output=True, text=True, check=False)
