"""How the answers to KEDA look on the wire; pure functions."""

import math
from collections.abc import Mapping

from externalscaler import externalscaler_pb2 as keda


def targets_out(targets: Mapping[str, float]) -> keda.GetMetricSpecResponse:
    return keda.GetMetricSpecResponse(
        metricSpecs=[
            keda.MetricSpec(metricName=name, targetSize=math.ceil(value), targetSizeFloat=value)
            for name, value in targets.items()
        ]
    )


def metrics_out(metrics: Mapping[str, float], wanted: str) -> keda.GetMetricsResponse:
    """The metric that is asked for; all of them when none is named."""
    return keda.GetMetricsResponse(
        metricValues=[
            keda.MetricValue(metricName=name, metricValue=math.ceil(value), metricValueFloat=value)
            for name, value in metrics.items()
            if wanted in {name, ""}
        ]
    )
