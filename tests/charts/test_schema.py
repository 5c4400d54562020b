"""A wrong value of any kind is refused before anything is made, and its field is named."""

from typing import Any

import pytest

from tests.charts.conftest import Manifest, refusal

MODEL = {"name": "m", "source": {"bundled": True}, "contextTokens": 4096}
HALF_A_GPU = {"requests": {"nvidia.com/gpu": "1"}}
UNEQUAL = {"requests": {"hugepages-2Mi": "2Mi"}, "limits": {"hugepages-2Mi": "4Mi"}}
POOL: Manifest = {"name": "demo", "model": MODEL, "replicas": 1}


def pool(**fields: Any) -> Manifest:
    return {"inference": {"pools": [{**POOL, **fields}]}}


WRONG = [
    ({"gatway": {}}, "gatway"),
    ({"gateway": {"replica": 1}}, "replica"),
    ({"gateway": {"replicas": 2}}, "/gateway/replicas"),
    ({"memory": {"replicas": 3}}, "/memory/replicas"),
    ({"gateway": {"scaling": {"enabled": True}}}, "/gateway/scaling/enabled"),
    ({"gateway": {"config": {"turn_second": 5}}}, "turn_second"),
    ({"gateway": {"config": {"turn_seconds": "long"}}}, "/gateway/config/turn_seconds"),
    ({"gateway": {"config": {"turn_seconds": 0}}}, "/gateway/config/turn_seconds"),
    ({"gateway": {"config": {"output_moderation": "maybe"}}}, "/gateway/config/output_moderation"),
    ({"gateway": {"config": {"http_address": "0.0.0.0:1"}}}, "http_address"),
    ({"tokenizer": {"replicas": "two"}}, "/tokenizer/replicas"),
    ({"tokenizer": {"replicas": -1}}, "/tokenizer/replicas"),
    (
        {"tokenizer": {"scaling": {"enabled": True, "minReplicas": 0, "maxReplicas": 2}}},
        "/tokenizer/scaling/minReplicas",
    ),
    ({"tokenizer": {"scaling": {"targets": {"tokens": 5}}}}, "tokens"),
    ({"tokenizer": {"config": {"threads": 0}}}, "/tokenizer/config/threads"),
    ({"moderation": {"resources": {"limits": {"memory": "lots"}}}}, "/limits/memory"),
    ({"context-assembly": {"storage": {"size": "big"}}}, "/storage/size"),
    ({"tool-runner": {"config": {"tools": "calculator"}}}, "/tool-runner/config/tools"),
    ({"inference": {"pools": []}}, "/inference/pools"),
    (pool(name="Demo_1"), "/inference/pools/0/name"),
    (pool(model={**MODEL, "source": {}}), "/inference/pools/0/model/source"),
    (pool(model={**MODEL, "source": {"hub": "a/b", "claim": "c"}}), "/model/source"),
    (pool(model={**MODEL, "source": {"objectStorage": "models/m"}}), "/source/objectStorage"),
    (pool(model={**MODEL, "source": {"hub": "https://a/b"}}), "/source/hub"),
    ({"migrations": {"enabled": "yes"}}, "/migrations/enabled"),
    ({"inference": {"weights": {"environment": {"AWS_REGION": 1}}}}, "/AWS_REGION"),
    (pool(model={"name": "m", "source": {"bundled": True}}), "contextTokens"),
    (pool(gpu={"preset": "b200"}), "/inference/pools/0/gpu/preset"),
    (pool(gpu={"count": 0}), "/inference/pools/0/gpu/count"),
    (pool(tensorParallel="8"), "/inference/pools/0/tensorParallel"),
    (pool(engineArgs=[1]), "/inference/pools/0/engineArgs"),
    (pool(config={"dtype": "int4"}), "/inference/pools/0/config/dtype"),
    (pool(loadSeconds=0), "/inference/pools/0/loadSeconds"),
    (pool(rollingUpdate={"maxSurge": "half"}), "/rollingUpdate/maxSurge"),
    (pool(replicas=None), "/inference/pools/0/replicas"),
    ({"images": {"pullPolicy": "Sometimes"}}, "/images/pullPolicy"),
    ({"images": {"tag": 1.5}}, "/images/tag"),
    ({"edge": {"service": {"type": "Public"}}}, "/edge/service/type"),
    ({"keda": {"enabled": "yes"}}, "/keda/enabled"),
    ({"networkPolicies": {"apiServer": {"ports": [99999]}}}, "/apiServer/ports/0"),
    ({"tracing": {"endpoint": "collector:4317"}}, "/tracing/endpoint"),
    # What can be written and cannot be meant.
    ({"inference": {"pools": [POOL, POOL]}}, "inference.pools[1].name: another pool"),
    (pool(tensorParallel=8, gpu={"count": 2}), "inference.pools[0].tensorParallel"),
    (pool(config={"tensor_parallel_size": 8}, gpu={"count": 2}), "[0].tensorParallel"),
    (pool(nodes=2, tensorParallel=8, gpu={"count": 8}), "inference.pools[0].nodes"),
    (pool(gpu={}), "/inference/pools/0/gpu"),
    (pool(gpu={"count": 1, "claims": [{"name": "g", "resourceClaimName": "c"}]}), "/0/gpu"),
    (
        pool(scaling={"enabled": True, "minReplicas": 3, "maxReplicas": 2}),
        "inference.pools[0].scaling.minReplicas: 3 is more than maxReplicas, 2",
    ),
    (
        {"tokenizer": {"scaling": {"enabled": True, "minReplicas": 9}}},
        "tokenizer.scaling.minReplicas: 9 is more than maxReplicas, 8",
    ),
    (
        pool(scaling={"enabled": True, "minReplicas": 0, "maxReplicas": 2}, holdSeconds=0)
        | {"keda": {"enabled": True}},
        "inference.pools[0].holdSeconds",
    ),
    (pool(rollingUpdate={"maxSurge": 0, "maxUnavailable": "0%"}), "[0].rollingUpdate"),
    ({"tokenizer": {"rollingUpdate": {"maxSurge": 0}}}, "tokenizer.rollingUpdate"),
    ({"edge": {"httpRoute": {"enabled": True}}}, "/edge/httpRoute/parentRefs"),
    ({"edge": {"grpcRoute": {"enabled": True}}}, "/edge/grpcRoute/parentRefs"),
    ({"edge": {"ingress": {"enabled": True}}}, "/edge/ingress/host"),
    ({"edge": {"httpRoute": {"hostnames": [""]}}}, "/edge/httpRoute/hostnames/0"),
    ({"inferencePool": {"enabled": True}}, "/inferencePool/endpointPicker/name"),
    ({"memory": {"storage": {"size": "0"}}}, "/memory/storage/size"),
    ({"memory": {"rollingUpdate": {"maxSurge": 1}}}, "rollingUpdate"),
    (pool(model={**MODEL, "source": {"claim": ""}}), "/model/source/claim"),
    ({"listen": "127.0.0.1"}, "/listen"),
    ({"images": {"digests": {"mesh": "latest"}}}, "/images/digests/mesh"),
    ({"gateway": {"pod": {"spce": {}}}}, "spce"),
    ({"monitor": {"interval": "soon"}}, "/monitor/interval"),
    ({"fullnameOverride": "1chat"}, "/fullnameOverride"),
    # What the API server would refuse of pods once they are made.
    (
        {"tokenizer": {"resources": {"requests": {"memory": "2Gi"}}}},
        "tokenizer.resources.requests.memory: 2Gi is more than limits.memory, 1Gi",
    ),
    (
        {"gateway": {"resources": {"limits": {"cpu": "0.2"}}}},
        "gateway.resources.requests.cpu: 250m is more than limits.cpu, 0.2",
    ),
    (
        pool(resources={"requests": {"memory": "3G"}, "limits": {"memory": "2Gi"}}),
        "inference.pools[0].resources.requests.memory: 3G",
    ),
    ({"jobs": {"resources": {"requests": {"memory": "1Gi"}}}}, "jobs.resources.requests.memory"),
    (
        {
            "inference": {
                **pool(model={**MODEL, "source": {"hub": "a/b"}})["inference"],
                "weights": {"resources": {"limits": {"memory": "128Mi"}}},
            }
        },
        "inference.weights.resources.requests.memory: 256Mi",
    ),
    (
        pool(pod={"spec": {"containers": [{"name": "inference", "resources": HALF_A_GPU}]}}),
        "inference.pools[0].resources.limits.nvidia.com/gpu",
    ),
    (
        {"memory": {"pod": {"spec": {"containers": [{"name": "side", "resources": UNEQUAL}]}}}},
        "pod.spec.containers of memory: side.resources.requests.hugepages-2Mi: 2Mi is less",
    ),
    # What would be looked at by nobody.
    (pool(rdma={"resource": "rdma/ib"}), "/inference/pools/0"),
    (pool(model={**MODEL, "source": {"hub": "a/b", "path": "c"}}), "/model/source"),
    (
        pool(gpu={"resource": "a.b/gpu", "claims": [{"name": "g", "resourceClaimName": "c"}]}),
        "/inference/pools/0/gpu",
    ),
    (
        {"edge": {"service": {"loadBalancerSourceRanges": ["10.0.0.0/8"]}}},
        "/edge/service/type",
    ),
    ({"edge": {"service": {"loadBalancerClass": "internal"}}}, "/edge/service/type"),
]


@pytest.mark.parametrize(("values", "field"), WRONG, ids=lambda value: str(value)[:60])
def test_a_wrong_value_is_refused_by_its_field(values: Manifest, field: str) -> None:
    assert field in refusal(values)
