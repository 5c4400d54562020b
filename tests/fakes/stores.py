"""Servers of object storage on loopback, as `make contract` installs them.

versitygw is a real S3 server. Azurite is Microsoft's own emulator of Azure Blob Storage.
fake-gcs-server emulates Google Cloud Storage, and asks nobody for keys.
"""

import base64
import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import obstore
import pytest
from obstore.store import from_url

from tests.fakes.loopback import QuietHandler, serving

BUCKET = "models"
# Azurite's account, known to all the world.
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """A server with an empty bucket, and what the environment says to who may use it."""

    scheme: str
    environment: Mapping[str, str]
    put: Callable[[str, bytes], object]


class Servers(ExitStack):
    """Each server, from when it is first asked for until all end."""

    def __init__(
        self,
        serving: Mapping[str, Callable[[Path], AbstractContextManager[ObjectStore]]],
        folders: pytest.TempPathFactory,
    ) -> None:
        super().__init__()
        self._serving = serving
        self._folders = folders
        self._found: dict[str, ObjectStore] = {}

    def __call__(self, name: str) -> ObjectStore:
        if name not in self._found:
            serving = self._serving[name](self._folders.mktemp(name))
            self._found[name] = self.enter_context(serving)
        return self._found[name]


def _program(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"{name} missing: `make contract` installs it")
    return found


@contextmanager
def _listening(command: Callable[[int], list[str]]) -> Iterator[str]:
    """The address of a server that is started with a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    with subprocess.Popen(command(port), stdout=subprocess.DEVNULL) as process:
        while True:
            assert process.poll() is None, f"{process.args!r} ended"
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                continue
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@contextmanager
def s3(folder: Path) -> Iterator[ObjectStore]:
    program = _program("versitygw")
    (folder / BUCKET).mkdir()

    def command(port: int) -> list[str]:
        keys = ["--access", "us", "--secret", "secret"]
        options = ["--quiet", "--port", f"127.0.0.1:{port}", *keys]
        return [program, *options, "posix", "--nometa", str(folder)]

    with _listening(command) as url:
        environment = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "us",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }
        yield ObjectStore("s3", environment, _putting("s3", environment))


@contextmanager
def azure(folder: Path) -> Iterator[ObjectStore]:
    program = _program("azurite-blob")

    def command(port: int) -> list[str]:
        options = ["--silent", "--disableTelemetry", "--skipApiVersionCheck", "-l", str(folder)]
        return [program, *options, "--blobHost", "127.0.0.1", "--blobPort", str(port)]

    with _listening(command) as url:
        environment = {
            "AZURE_STORAGE_ENDPOINT": f"{url}/{_ACCOUNT}",
            "AZURE_ALLOW_HTTP": "true",
            "AZURE_STORAGE_ACCOUNT_NAME": _ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": _KEY,
        }
        _make_container(url)
        yield ObjectStore("az", environment, _putting("az", environment))


@contextmanager
def google(folder: Path) -> Iterator[ObjectStore]:
    program = _program("fake-gcs-server")

    def command(port: int) -> list[str]:
        place = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
        options = ["-log-level", "error", "-public-host", f"127.0.0.1:{port}"]
        return [program, *place, *options, "-filesystem-root", str(folder)]

    with _listening(command) as url:
        key = {"gcs_base_url": url, "disable_oauth": True}
        key |= dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
        environment = {
            "GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(key),
            "GOOGLE_ALLOW_HTTP": "true",
        }
        _posted(f"{url}/storage/v1/b?project=ours", json.dumps({"name": BUCKET}).encode())

        def put(path: str, content: bytes) -> None:
            upload = f"{url}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name="
            _posted(upload + quote(path, safe=""), content)

        yield ObjectStore("gs", environment, put)


@contextmanager
def pod_identity(environment: Mapping[str, str], token: Path) -> Iterator[Mapping[str, str]]:
    """The environment of a pod to which EKS' agent gives the keys of `environment` by its token."""
    given = {
        "AccessKeyId": environment["AWS_ACCESS_KEY_ID"],
        "SecretAccessKey": environment["AWS_SECRET_ACCESS_KEY"],
        "Token": "",
        "Expiration": "2100-01-01T00:00:00Z",
    }
    token.write_text("of this pod")

    class Agent(QuietHandler):
        def do_GET(self) -> None:
            known = self.headers["Authorization"] == token.read_text()
            body = json.dumps(given).encode() if known else b""
            self.send_response(HTTPStatus.OK if known else HTTPStatus.UNAUTHORIZED)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Agent)) as url:
        yield {
            **{name: each for name, each in environment.items() if "_ACCESS_KEY" not in name},
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
        }


def _putting(scheme: str, environment: Mapping[str, str]) -> Callable[[str, bytes], object]:
    before = dict(os.environ)
    os.environ.update(environment)
    store = from_url(f"{scheme}://{BUCKET}")
    os.environ.clear()
    os.environ.update(before)
    return lambda path, content: obstore.put(store, path, content)


def _posted(url: str, body: bytes) -> None:
    urlopen(Request(url, body, {"Content-Type": "application/json"})).close()


def _make_container(url: str) -> None:
    """Signed as Azure's documentation of the shared key says; obstore makes no containers."""
    date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = {"x-ms-date": date, "x-ms-version": "2023-11-03"}
    lines = ["PUT", *[""] * 11, *(f"{name}:{value}" for name, value in headers.items())]
    signed = "\n".join([*lines, f"/{_ACCOUNT}/{_ACCOUNT}/{BUCKET}", "restype:container"])
    digest = hmac.digest(base64.b64decode(_KEY), signed.encode(), hashlib.sha256)
    headers["Authorization"] = f"SharedKey {_ACCOUNT}:{base64.b64encode(digest).decode()}"
    where = f"{url}/{_ACCOUNT}/{BUCKET}?restype=container"
    urlopen(Request(where, headers=headers, method="PUT")).close()
