"""What may be turned at the tokenizer."""

import re
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from services.shared.config import ServiceConfig

_DEMO_MODEL = Path(__file__).parents[1] / "inference" / "demo_model" / "model"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class TokenizerConfig(ServiceConfig):
    """Read once at start. The defaults serve the bundled demo model."""

    model_config = SettingsConfigDict(env_prefix="TOKENIZER_", frozen=True)

    address: str = "127.0.0.1:50052"
    # Each served model's name and where its tokenizer is: a directory or a Hugging Face hub id.
    models: dict[str, str] = Field(default={"chatmesh-demo": str(_DEMO_MODEL)}, min_length=1)
    # How many prompts are made at the same time. More helps only a process with more processors.
    threads: int = Field(default=2, ge=1)

    @field_validator("models")
    @classmethod
    def _exist(cls, models: dict[str, str]) -> dict[str, str]:
        for source in models.values():
            if not Path(source).is_dir() and not _HUB_ID.fullmatch(source):
                raise ValueError(f"{source} is neither a directory nor a hub id")
        return models
