"""What may be turned of the tool-runner."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from services.shared.config import ServiceConfig

ToolName = Literal["calculator", "clock", "weather", "remember", "forget"]
_URL = r"^https?://[^\s/]+(/\S*)?$"


class ToolRunnerConfig(ServiceConfig):
    """Read once at start. The defaults run the service on a laptop."""

    model_config = SettingsConfigDict(env_prefix="TOOL_RUNNER_", frozen=True)

    address: str = "127.0.0.1:50054"
    memory_address: str = "127.0.0.1:50055"
    # The names of the tools that are on, with commas between them. Without `weather` nothing leaves
    # the mesh.
    tools: Annotated[frozenset[ToolName], NoDecode] = frozenset(get_args(ToolName))
    # How long a tool may run, in seconds.
    timeout_seconds: float = Field(default=10, gt=0)
    # The longest arguments of a call, in characters.
    max_arguments_chars: int = Field(default=16_000, gt=0)
    # How much of a tool's output the model reads.
    max_output_chars: int = Field(default=8_000, ge=100)
    # Open-Meteo's own servers; whoever runs it themselves sets others.
    weather_geocoding_url: str = Field(default="https://geocoding-api.open-meteo.com", pattern=_URL)
    # Where the forecast comes from.
    weather_forecast_url: str = Field(default="https://api.open-meteo.com", pattern=_URL)
    # How long to wait for each answer of the weather service, in seconds.
    weather_timeout_seconds: float = Field(default=4, gt=0)

    @field_validator("tools", mode="before")
    @classmethod
    def _listed(cls, names: Any) -> Any:
        if not isinstance(names, str):
            return names
        return [name.strip() for name in names.split(",") if name.strip()]
