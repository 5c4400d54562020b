"""API keys of a release, by the gateway's administration.

It is reached by way of the API server, at one port of one Service: the role `<release>-keys` may do
that, and reach no pod.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes.client import ApiException

from services.cluster.refusals import CannotDo
from services.cluster.view import Cluster

# As services/gateway/http/admin.py reads it.
_TOKEN_HEADER = "x-chatmesh-admin-token"  # noqa: S105 - the header's name
_TOKEN_SECRET = "chatmesh.io/token-secret"  # noqa: S105 - the annotation's name
_SECONDS = 30
_NOT_FOUND, _UNAVAILABLE = 404, 503
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class KeyOrder:
    """For whom a key is made; None leaves an account that is there as it is."""

    name: str
    application: bool | None = None
    change_kind: bool = False
    memory: bool | None = None
    instructions: str | None = None

    def body(self) -> Json:
        kinds = {None: None, True: "application", False: "personal"}
        return {
            "name": self.name,
            "kind": kinds[self.application],
            "change_kind": self.change_kind,
            "memory": self.memory,
            "instructions": self.instructions,
        }


def create(cluster: Cluster, wish: KeyOrder) -> str:
    """A new key, which is seen whole this once. Raises CannotDo."""
    key: str = _asked(cluster, "POST", "keys", wish.body())["key"]
    return key


def listed(cluster: Cluster) -> Sequence[Json]:
    """`id`, `account`, `kind`, `created_at` (seconds since the epoch) and `revoked` of each."""
    found: Sequence[Json] = _asked(cluster, "GET", "keys")["keys"]
    return found


def revoke(cluster: Cluster, *, key: str = "", account: str = "") -> Sequence[Json]:
    """`id` and `account` of what was valid until now. Raises CannotDo."""
    body = {"account": account} if account else {"key": key}
    revoked: Sequence[Json] = _asked(cluster, "POST", "keys/revoke", body)["revoked"]
    return revoked


def _asked(cluster: Cluster, method: str, path: str, body: Json | None = None) -> Json:
    service = cluster.admin_service()
    if service is None:
        raise CannotDo(
            f"release {cluster.release} in namespace {cluster.namespace} has no administration of "
            "keys: name the right ones by --release and --namespace, or upgrade it to 0.2.0"
        )
    token = _token(cluster, service.metadata.annotations[_TOKEN_SECRET])
    place = f"/api/v1/namespaces/{cluster.namespace}/services/{service.metadata.name}:admin"
    asked = cluster.api.param_serialize(
        method,
        f"{place}/proxy/admin/v1/{path}",
        header_params={
            "Accept": "application/json",
            "Content-Type": "application/json",
            _TOKEN_HEADER: token,
        },
        body=body,
        auth_settings=["BearerToken"],
    )
    answer = cluster.api.call_api(*asked, _request_timeout=_SECONDS)
    return _read(answer.status, answer.reason, answer.read())


def _token(cluster: Cluster, name: str) -> str:
    try:
        secret = cluster.core.read_namespaced_secret(name, cluster.namespace)
    except ApiException as error:
        if error.status != _NOT_FOUND:
            raise
        raise CannotDo(
            f"the secret {name}, which holds the admin token, is not there: `helm upgrade` makes "
            "it, unless gateway.adminToken.existingSecret names one of yours"
        ) from None
    encoded = (secret.data or {}).get("token")
    if not encoded:
        raise CannotDo(f"the secret {name} has no key `token`, which should hold the admin token")
    return base64.b64decode(encoded).decode(errors="replace").strip()


def _read(status: int, reason: str, body: bytes) -> Json:
    try:
        told = json.loads(body)
    except ValueError:
        told = {}
    if status < 300:
        read: Json = told
        return read
    if isinstance(told, dict) and isinstance(told.get("error"), dict):
        raise CannotDo(f"the gateway says: {told['error'].get('message', reason)}")
    if status == _UNAVAILABLE:
        raise CannotDo("no gateway is ready: kubectl chatmesh doctor says why")
    refused = ApiException(status, reason)
    refused.body = body.decode(errors="replace")
    raise refused
