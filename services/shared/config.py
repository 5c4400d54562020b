"""What every service's configuration has."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceConfig(BaseSettings):
    """Read once, at start, from the environment. Each service sets its own prefix and address."""

    # What was given may hold a password: an error names the knob and not the value.
    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True)

    # Where the service listens for gRPC, `host:port`; port 0 takes a free one.
    address: str
    # Where Prometheus reads /metrics.
    metrics_address: str = "127.0.0.1:0"
    # How long calls are still accepted after SIGTERM, while clients go elsewhere, in seconds.
    drain_seconds: float = Field(default=0, ge=0)
    # How long running calls may then take to end, in seconds. What runs longer is cancelled.
    grace_seconds: float = Field(default=30, ge=0)
    # The least that is logged.
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    # An OTLP collector for spans, such as http://collector:4317. Empty: no span is exported.
    otlp_endpoint: str = ""
    # The share of traces that are exported.
    trace_sample_ratio: float = Field(default=0.05, ge=0, le=1)
