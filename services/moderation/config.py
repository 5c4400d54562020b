"""What may be turned at moderation."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.moderation.policy import BUNDLED
from services.shared.config import ServiceConfig


class ModerationConfig(ServiceConfig):
    """Read once at start. What may pass is told by the policy, a file of its own."""

    model_config = SettingsConfigDict(env_prefix="MODERATION_", frozen=True)

    address: str = "127.0.0.1:50056"
    # A YAML file; policy.yaml beside this one is the default and explains itself.
    policy: Path = BUNDLED
    # For how many texts the inspection is kept, about 1 kB each; the texts themselves are not.
    cached_texts: int = Field(default=10_000, gt=0)
    # How many windows are embedded at the same time; each needs a processor core.
    embedder_threads: int = Field(default=1, gt=0)
