"""Makes the secret under which keys are hashed: `python -m services.cluster.pepper SECRET RELEASE`.

The chart runs it as a hook before an install or upgrade. A secret that is there is left alone.
"""

import base64
import secrets
import sys

from kubernetes import client, config
from kubernetes.client import ApiException

from services.shared.endpoint_slices import own_namespace

_CONFLICT = 409


def make(api: client.CoreV1Api, namespace: str, name: str, release: str) -> bool:
    """Makes the secret `name` if it is not there; says whether it did."""
    labels = {
        "app.kubernetes.io/name": "chatmesh",
        "app.kubernetes.io/instance": release,
        "app.kubernetes.io/component": "gateway",
    }
    value = base64.b64encode(secrets.token_bytes(32)).decode()
    secret = client.V1Secret(
        metadata=client.V1ObjectMeta(name=name, labels=labels), data={"pepper": value}
    )
    try:
        api.create_namespaced_secret(namespace, secret)
    except ApiException as error:
        if error.status != _CONFLICT:
            raise
        return False
    return True


def main() -> None:
    name, release = sys.argv[1:]
    config.load_incluster_config()
    made = make(client.CoreV1Api(), own_namespace(), name, release)
    print(f"secret {name} {'made' if made else 'is there already'}")


if __name__ == "__main__":
    main()
