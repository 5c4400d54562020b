"""As much of the Hugging Face hub as its own client asks for when it downloads a model.

The real one cannot be reached from tests. Paths, headers and error codes are those that
huggingface_hub 2.4 sends and reads.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from tests.fakes.loopback import QuietHandler, serving


@dataclass(slots=True)
class Hub:
    """One model; with a `token` it is given only to who shows it."""

    name: str
    files: dict[str, bytes] = field(default_factory=dict)
    token: str = ""
    url: str = ""

    @property
    def commit(self) -> str:
        return _hash(b"".join(name.encode() + self.files[name] for name in sorted(self.files)))

    def answer(self, path: str, token: str) -> tuple[int, dict[str, str], bytes]:
        if self.token and token != f"Bearer {self.token}":
            return HTTPStatus.FORBIDDEN, {"X-Error-Code": "GatedRepo"}, b"{}"
        if path.startswith(f"/api/models/{self.name}/revision/"):
            if path.rpartition("/")[2] not in {"main", self.commit}:
                return HTTPStatus.NOT_FOUND, {"X-Error-Code": "RevisionNotFound"}, b"{}"
            told = {"id": self.name, "sha": self.commit, "siblings": []}
            return HTTPStatus.OK, {}, json.dumps(told).encode()
        if path == f"/api/models/{self.name}/tree/{self.commit}":
            return (
                HTTPStatus.OK,
                {},
                json.dumps([self._entry(each) for each in self.files]).encode(),
            )
        name = path.removeprefix(f"/{self.name}/resolve/{self.commit}/")
        if name in self.files:
            headers = {"ETag": f'"{_hash(self.files[name])}"', "X-Repo-Commit": self.commit}
            return HTTPStatus.OK, headers, self.files[name]
        return HTTPStatus.NOT_FOUND, {"X-Error-Code": "RepoNotFound"}, b"{}"

    def _entry(self, name: str) -> dict[str, object]:
        content = self.files[name]
        return {"type": "file", "path": name, "size": len(content), "oid": _hash(content)}


def _hash(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


class _Connection(QuietHandler):
    server: "_Listener"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self.wfile.write(self._answer())

    def _answer(self) -> bytes:
        path = unquote(urlsplit(self.path).path)
        status, headers, body = self.server.hub.answer(path, self.headers.get("Authorization", ""))
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        return body


class _Listener(ThreadingHTTPServer):
    def __init__(self, hub: Hub, host: str, port: int) -> None:
        super().__init__((host, port), _Connection)
        self.hub = hub


@contextmanager
def served(hub: Hub, host: str = "127.0.0.1", port: int = 0) -> Iterator[Hub]:
    with serving(_Listener(hub, host, port)) as hub.url:
        yield hub
