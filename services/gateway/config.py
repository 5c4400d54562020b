"""What may be turned at the gateway."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from services.gateway.fleet import Pool
from services.gateway.guard import OutputModeration
from services.gateway.limits import Limit
from services.shared.config import ServiceConfig
from services.shared.redis import SCHEMES
from services.shared.store_url import StoreUrl, one_of

_AccountsUrl = Annotated[StoreUrl, AfterValidator(one_of("sqlite", "postgresql"))]
_StreamsUrl = Annotated[StoreUrl, AfterValidator(one_of("memory", *SCHEMES))]


class GatewayConfig(ServiceConfig):
    """The defaults run the service on a laptop."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True)

    # The public gRPC endpoint.
    address: str = "127.0.0.1:50050"
    # The public HTTP endpoint.
    http_address: str = "127.0.0.1:8000"
    # Where accounts, keys and usage are kept: sqlite:<path> or postgresql://...; file:<path> where
    # a file holds this URL.
    accounts_url: _AccountsUrl = StoreUrl("sqlite:.chatmesh/gateway.sqlite")
    # Where the events of turns, limits and counts are kept that gateways share: Redis, of which
    # services/shared/redis.py knows several forms. memory: is for one gateway alone.
    streams_url: _StreamsUrl = StoreUrl("memory:")
    # With Redis: after how many seconds without a sign of life another gateway goes on with its
    # turns. A gateway that is busy for longer loses them.
    streams_lease_seconds: float = Field(default=2, gt=0)
    # With Redis: how long a turn that its caller waits for may be without a reader when its gateway
    # has died, in seconds.
    reader_seconds: float = Field(default=10, gt=0)
    # Holds the secret under which keys are hashed; made at the first start if it is not there.
    pepper_file: Path = Path(".chatmesh/pepper")
    # Where API keys are made and revoked on HTTP by the admin token: never public. Empty: off.
    admin_address: str = ""
    # Holds the admin token, at least 32 bytes; read again for every request.
    admin_token_file: Path = Path(".chatmesh/admin-token")
    # Where KEDA asks how many replicas are needed, which takes no key: never public. Empty: off.
    scaler_address: str = ""
    # Whether the streams of replicas are written on their pods: scaling down removes idle ones.
    deletion_costs: bool = False
    context_assembly_address: str = "127.0.0.1:50051"
    # Where models are: a JSON list of objects with the fields of `Pool`.
    inference_pools: tuple[Pool, ...] = (Pool("local", "127.0.0.1:50053"),)
    tool_runner_address: str = "127.0.0.1:50054"
    moderation_address: str = "127.0.0.1:50056"
    # Whether text waits for moderation (block), goes on beside it (parallel), or is not read (off).
    output_moderation: OutputModeration = OutputModeration.BLOCK
    # The longest that a turn may take, in seconds.
    turn_seconds: float = Field(default=600, gt=0)
    # How long the events of a turn that has ended can still be read, in seconds.
    events_kept_seconds: float = Field(default=300, gt=0)
    # Of all turns that have ended, how many bytes of events are kept; the oldest go first.
    events_kept_bytes: int = Field(default=64 * 1024 * 1024, gt=0)
    # A turn of more bytes of events ends incomplete.
    turn_event_bytes: int = Field(default=16 * 1024 * 1024, gt=0)
    # The longest that one call of another service may take, streams excepted, in seconds. Half of
    # it may pass until there is a replica that takes it.
    call_seconds: float = Field(default=90, gt=0)
    # How often the mesh's own tools may be run in one turn before it ends.
    tool_rounds: int = Field(default=8, ge=0, le=64)
    # How many turns may be under way in one gateway.
    max_turns: int = Field(default=1024, gt=0)
    # How many of one organisation, in all gateways together.
    max_turns_per_organisation: int = Field(default=256, gt=0)
    # Of these, how many may be in the background, where nobody waits for them; 0: none.
    max_background_turns_per_organisation: int = Field(default=64, ge=0)
    # What each organisation, person or key may use, counted by all gateways together: a JSON list
    # of objects with the fields of `Limit`. The counts are where `streams_url` says.
    usage_limits: tuple[Limit, ...] = ()
    # How many WebSockets one key may have open.
    max_sockets_per_key: int = Field(default=64, gt=0)
    # How long a WebSocket may stay open, in seconds.
    socket_seconds: float = Field(default=3600, gt=0)
    # The largest body that a request may have, in bytes; also the largest message on a WebSocket.
    max_body_bytes: int = Field(default=8 * 1024 * 1024, gt=0)
    # The pages whose scripts may call: a JSON list of origins. A key is needed all the same.
    cors_origins: tuple[str, ...] = ("*",)
    # How long a request's body may take to arrive, in seconds.
    body_seconds: float = Field(default=30, gt=0)
