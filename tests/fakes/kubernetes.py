"""A small API server of Kubernetes on loopback, for the real client: JSON objects by their paths.

It gets, lists by labels and fields, creates, deletes, patches, scales, evicts, says what whoever
asks may do, and passes on a pod's metrics and logs and what a Service answers. It has no
controllers: what should become of an object, a test does to it. No watches, no exec.
"""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fakes.loopback import QuietHandler, serving

Json = dict[str, Any]
_PATH = re.compile(
    r"/(?:version|apis|(?:api|apis/(?P<group>[^/]+))/[^/]+"
    r"(?:/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<resource>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>.+))?)?)"
)
_VERBS = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "deletecollection"}
_KINDS = {
    "pods": ("v1", "PodList"),
    "persistentvolumeclaims": ("v1", "PersistentVolumeClaimList"),
    "jobs": ("batch/v1", "JobList"),
    "deployments": ("apps/v1", "DeploymentList"),
    "replicasets": ("apps/v1", "ReplicaSetList"),
    "services": ("v1", "ServiceList"),
    "configmaps": ("v1", "ConfigMapList"),
    "events": ("v1", "EventList"),
    "nodes": ("v1", "NodeList"),
    "storageclasses": ("storage.k8s.io/v1", "StorageClassList"),
    "horizontalpodautoscalers": ("autoscaling/v2", "HorizontalPodAutoscalerList"),
    "scaledobjects": ("keda.sh/v1alpha1", "ScaledObjectList"),
    "httproutes": ("gateway.networking.k8s.io/v1", "HTTPRouteList"),
    "grpcroutes": ("gateway.networking.k8s.io/v1", "GRPCRouteList"),
    "ingresses": ("networking.k8s.io/v1", "IngressList"),
    "leaderworkersets": ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSetList"),
}
# What the API server takes out of a request that it passes on, or writes anew.
_OWN_HEADERS = {"authorization", "host", "content-length", "connection", "accept-encoding"}
_METRICS = "text/plain; version=1.0.0; charset=utf-8"


class Refused(Exception):
    """Told as a `Status`."""

    def __init__(self, code: int, reason: str, message: str, cause: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.details = {"causes": [{"message": cause}]} if cause else {}


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    path: str
    query: dict[str, list[str]]
    content_type: str
    body: Any
    group: str
    namespace: str
    resource: str
    name: str
    sub: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def of(self) -> str:
        """The object's or the collection's path, without a subresource."""
        return self.path.removesuffix(f"/{self.sub}") if self.sub else self.path


@dataclass(slots=True)
class ApiServer:
    objects: dict[str, Json] = field(default_factory=dict)
    # What pods expose, by name; others cannot be reached.
    metrics: dict[str, str] = field(default_factory=dict)
    # What they expose after that, at one look after the other.
    later: dict[str, list[str]] = field(default_factory=dict)
    # How many evictions the disruption budget does not allow.
    evictions_refused: int = 0
    # What the API server says of that budget.
    budget: str = "The disruption budget chatmesh-gateway needs 1 healthy pods and has 1 currently"
    # What stands behind a Service's port, by `name:port`: the address of a server on loopback.
    behind: dict[str, str] = field(default_factory=dict)
    # Logs by pod and container; with a `-` before the container that of the one before it.
    logs: dict[tuple[str, str], str] = field(default_factory=dict)
    # What SelfSubjectAccessReviews deny: verb and resource, with its subresource.
    denied: set[tuple[str, str]] = field(default_factory=set)
    # The groups that discovery tells of.
    groups: list[str] = field(default_factory=list)
    version: tuple[str, str] = ("1", "35")
    # Resources and subresources that whoever asks may not touch.
    forbidden: set[str] = field(default_factory=set)
    # Resources of which the cluster has no definition.
    unknown: set[str] = field(default_factory=set)
    # What is done to an object as it is created.
    created: Callable[[Json], object] = lambda made: made
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def add(self, *objects: Json) -> None:
        self.objects.update({_path(each): each for each in objects})

    def find(self, resource: str, name: str) -> Json:
        return self.objects[self._where(resource, name)]

    def remove(self, resource: str, name: str) -> None:
        del self.objects[self._where(resource, name)]

    def _where(self, resource: str, name: str) -> str:
        (path,) = (path for path in self.objects if path.split("/")[-2:] == [resource, name])
        return path

    def answer(self, asked: Asked) -> tuple[int, Json | str]:
        self.asked.append((asked.method, asked.path))
        self._check_allowed(asked)
        if asked.resource in self.unknown:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        if special := self._special(asked):
            return special
        if asked.sub == "eviction":
            return 201, self._evicted(asked)
        if asked.method == "POST":
            return 201, self._created(asked)
        if not asked.name:
            return 200, self._deleted(asked) if asked.method == "DELETE" else self._listed(asked)
        found = self._found(asked)
        if asked.method == "PATCH":
            self._patch(found, asked)
        if asked.sub == "scale":
            kind = {"apiVersion": "autoscaling/v1", "kind": "Scale"}
            replicas = {"replicas": found["spec"]["replicas"]}
            return 200, kind | {"metadata": {}, "spec": replicas, "status": replicas}
        return 200, found

    def _special(self, asked: Asked) -> tuple[int, Json | str] | None:
        """What is no object: discovery, reviews, logs, and what is passed on."""
        if asked.path in {"/version", "/apis"}:
            return 200, self._discovered(asked)
        if asked.resource == "selfsubjectaccessreviews":
            return 201, self._reviewed(asked)
        if asked.resource == "services" and asked.sub.startswith("proxy/"):
            return self._passed_on(asked)
        if asked.sub in {"proxy/metrics", "log"}:
            return 200, self._log(asked) if asked.sub == "log" else self._metrics(asked)
        return None

    def _discovered(self, asked: Asked) -> Json:
        if asked.path == "/apis":
            return {"kind": "APIGroupList", "groups": [_api_group(g) for g in self.groups]}
        major, minor = self.version
        told = {"major": major, "minor": minor, "gitVersion": f"v{major}.{minor}.0"}
        unsaid = ("gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform")
        return told | dict.fromkeys(unsaid, "")

    def _reviewed(self, asked: Asked) -> Json:
        wanted = asked.body["spec"]["resourceAttributes"]
        sub = wanted.get("subresource")
        resource = f"{wanted['resource']}/{sub}" if sub else wanted["resource"]
        allowed = (wanted["verb"], resource) not in self.denied
        return {**asked.body, "metadata": {}, "status": {"allowed": allowed}}

    def _passed_on(self, asked: Asked) -> tuple[int, Json | str]:
        """To what is behind a Service, as the API server does: without the header of its own."""
        if asked.name not in self.behind:
            said = f'no endpoints available for service "{asked.name}"'
            raise Refused(503, "ServiceUnavailable", said)
        body = None if asked.body is None else json.dumps(asked.body).encode()
        headers = {k: v for k, v in asked.headers.items() if k.lower() not in _OWN_HEADERS}
        url = f"{self.behind[asked.name]}/{asked.sub.removeprefix('proxy/')}"
        request = urllib.request.Request(url, body, headers, method=asked.method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request) as answer:
                return answer.status, _read(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _read(error.read().decode())

    def _log(self, asked: Asked) -> str:
        container = asked.query["container"][0]
        before = "-" if asked.query.get("previous") == ["true"] else ""
        if (asked.name, f"{before}{container}") not in self.logs:
            said = f'previous terminated container "{container}" in pod "{asked.name}" not found'
            raise Refused(400, "BadRequest", said)
        return self.logs[asked.name, f"{before}{container}"]

    def _check_allowed(self, asked: Asked) -> None:
        touched = {asked.resource, f"{asked.resource}/{asked.sub}"}
        if not touched & self.forbidden:
            return
        verb = "list" if asked.method == "GET" and not asked.name else _VERBS[asked.method]
        inside = f'in the namespace "{asked.namespace}"'
        named = f' "{asked.name}"' if asked.name else ""
        raise Refused(
            403,
            "Forbidden",
            f'{asked.resource}{named} is forbidden: User "ada" cannot {verb} resource '
            f'"{asked.resource}" in API group "{asked.group}" '
            f"{inside if asked.namespace else 'at the cluster scope'}",
        )

    def _found(self, asked: Asked) -> Json:
        if asked.of not in self.objects:
            group = f".{asked.group}" if asked.group else ""
            raise Refused(404, "NotFound", f'{asked.resource}{group} "{asked.name}" not found')
        return self.objects[asked.of]

    def _metrics(self, asked: Asked) -> str:
        pod, _, port = asked.name.partition(":")
        if pod not in self.metrics or port != "9090":
            said = f"error trying to reach service: dial tcp {pod}:{port}: connect: refused"
            raise Refused(503, "ServiceUnavailable", said)
        told = self.metrics[pod]
        if self.later.get(pod):
            self.metrics[pod] = self.later[pod].pop(0)
        return told

    def _evicted(self, asked: Asked) -> Json:
        pod = self._found(asked)
        assert asked.body["metadata"]["name"] == asked.name
        if self.evictions_refused:
            self.evictions_refused -= 1
            said = "Cannot evict pod as it would violate the pod's disruption budget."
            raise Refused(429, "TooManyRequests", said, self.budget)
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T10:00:00Z"
        return _status(201, "Success")

    def _created(self, asked: Asked) -> Json:
        created: Json = asked.body
        if prefix := created["metadata"].pop("generateName", ""):
            created["metadata"]["name"] = f"{prefix}{len(self.objects)}"
        path = f"{asked.path}/{created['metadata']['name']}"
        if path in self.objects:
            said = f'{asked.resource} "{created["metadata"]["name"]}" already exists'
            raise Refused(409, "AlreadyExists", said)
        self.objects[path] = created
        self.created(created)
        return created

    def _deleted(self, asked: Asked) -> Json:
        for gone in self._chosen(asked):
            del self.objects[gone]
        return _status(200, "Success")

    def _listed(self, asked: Asked) -> Json:
        version, kind = _KINDS[asked.resource]
        items = [self.objects[path] for path in self._chosen(asked)]
        return {"kind": kind, "apiVersion": version, "metadata": {}, "items": items}

    def _chosen(self, asked: Asked) -> list[str]:
        """The paths of those in a collection that a selector chooses: equalities, or one `in`."""
        selector = ",".join(asked.query.get("labelSelector", ()))
        if among := re.fullmatch(r"(\S+) in \((.*)\)", selector):
            wanted = [{among[1]: value}.items() for value in among[2].split(",")]
        else:
            wanted = [dict(pair.split("=") for pair in selector.split(",") if pair).items()]
        return [
            path
            for path, each in self.objects.items()
            if _is_in(path, asked)
            and any(labels <= each["metadata"].get("labels", {}).items() for labels in wanted)
            and all(_field(each, name) == value for name, value in _fields(asked))
        ]

    def _patch(self, found: Json, asked: Asked) -> None:
        """As merge patches do; the strategic ones that are sent here change maps alone."""
        before = json.dumps(found.get("spec"))
        kinds = {"application/merge-patch+json"}
        if "." not in asked.group:
            kinds.add("application/strategic-merge-patch+json")
        if asked.content_type == "application/json-patch+json":
            for change in asked.body:
                assert change["op"] == "replace"
                *outer, last = change["path"].strip("/").split("/")
                inner = found
                for step in outer:
                    inner = inner[step]
                assert last in inner
                inner[last] = change["value"]
        elif asked.content_type not in kinds:
            said = f"the body of the request was in an unknown format, accepted are: {kinds}"
            raise Refused(415, "UnsupportedMediaType", said)
        else:
            _merge(found, asked.body)
        if "generation" in found["metadata"] and json.dumps(found.get("spec")) != before:
            found["metadata"]["generation"] += 1


def _read(text: str) -> Json | str:
    read: Json | str = json.loads(text) if text.startswith("{") else text
    return read


def _is_in(path: str, asked: Asked) -> bool:
    """Whether an object's path is in the collection: of one namespace, or of all."""
    collection = path.rpartition("/")[0]
    return asked.path in {collection, re.sub("/namespaces/[^/]+", "", collection)}


def _fields(asked: Asked) -> list[tuple[str, str]]:
    pairs = ",".join(asked.query.get("fieldSelector", ())).split(",")
    return [(pair.split("=")[0], pair.split("=")[1]) for pair in pairs if pair]


def _field(thing: Any, path: str) -> Any:
    for step in path.split("."):
        thing = thing.get(step, {})
    return thing


def _api_group(name: str) -> Json:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def _path(thing: Json) -> str:
    version, metadata = thing["apiVersion"], thing["metadata"]
    root = "/apis/" if "/" in version else "/api/"
    namespace = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    kind = thing["kind"].lower()
    plural = f"{kind}es" if kind.endswith("s") else f"{kind}s"
    return f"{root}{version}{namespace}/{plural}/{metadata['name']}"


def _merge(into: Json, patch: Json) -> None:
    for key, value in patch.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def _status(code: int, status: str, reason: str = "", message: str = "") -> Json:
    said = {"status": status, "reason": reason, "message": message, "code": code}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}} | said


class _Connection(QuietHandler):
    server: "_Listener"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PATCH(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path).rstrip("/")
        match = _PATH.fullmatch(path)
        assert match, self.path
        length = int(self.headers.get("Content-Length") or 0)
        asked = Asked(
            method=self.command,
            path=path,
            query=parse_qs(url.query),
            content_type=self.headers.get("Content-Type", ""),
            body=json.loads(self.rfile.read(length)) if length else None,
            headers=dict(self.headers.items()),
            **match.groupdict(""),
        )
        try:
            code, answer = self.server.api.answer(asked)
        except Refused as error:
            code, answer = error.code, _status(error.code, "Failure", error.reason, str(error))
            answer |= {"details": error.details} if error.details else {}
        self._send(code, answer)

    def _send(self, code: int, answer: Json | str) -> None:
        body = answer if isinstance(answer, str) else json.dumps(answer)
        self.send_response(code)
        self.send_header("Content-Type", _METRICS if body is answer else "application/json")
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())


class _Listener(ThreadingHTTPServer):
    def __init__(self, api: ApiServer) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.api = api


@contextmanager
def served() -> Iterator[ApiServer]:
    """An empty one, while within."""
    api = ApiServer()
    with serving(_Listener(api)) as api.url:
        yield api
