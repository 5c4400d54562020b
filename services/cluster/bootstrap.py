"""Makes the secrets of a release: `python -m services.cluster.bootstrap RELEASE KEY=SECRET ...`.

KEY is `pepper`, under which API keys are hashed, or `token`, by which keys are administered; SECRET
is the name of the Secret that shall hold it under KEY. The chart runs this as a hook before an
install or upgrade. A Secret that is there is left alone.
"""

import base64
import secrets
import sys
from collections.abc import Callable, Mapping

from kubernetes import client, config
from kubernetes.client import ApiException

from services.shared.endpoint_slices import own_namespace

_CONFLICT = 409
# What is kept under each key. The token travels in a header, so it is text.
_MADE: Mapping[str, Callable[[], bytes]] = {
    "pepper": lambda: secrets.token_bytes(32),
    "token": lambda: secrets.token_urlsafe(32).encode(),
}


def make(api: client.CoreV1Api, namespace: str, name: str, release: str, key: str) -> bool:
    """Makes the Secret `name` with `key` if it is not there; says whether it did."""
    labels = {
        "app.kubernetes.io/name": "chatmesh",
        "app.kubernetes.io/instance": release,
        "app.kubernetes.io/component": "gateway",
    }
    value = base64.b64encode(_MADE[key]()).decode()
    secret = client.V1Secret(
        metadata=client.V1ObjectMeta(name=name, labels=labels), data={key: value}
    )
    try:
        api.create_namespaced_secret(namespace, secret)
    except ApiException as error:
        if error.status != _CONFLICT:
            raise
        return False
    return True


def main() -> None:
    release, *wanted = sys.argv[1:]
    config.load_incluster_config()
    api = client.CoreV1Api()
    for key, _, name in (pair.partition("=") for pair in wanted):
        made = make(api, own_namespace(), name, release, key)
        print(f"secret {name} {'made' if made else 'is there already'}")


if __name__ == "__main__":
    main()
