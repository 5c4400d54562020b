"""What may be turned."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.inference.models import DEMO
from services.shared.config import ServiceConfig

DEMO_DIRECTORY = Path(__file__).parent / "demo_model" / "model"


class InferenceConfig(ServiceConfig):
    """The defaults serve the bundled demo model on what the machine has."""

    model_config = SettingsConfigDict(
        env_prefix="INFERENCE_", frozen=True, protected_namespaces=("settings_",)
    )

    address: str = "127.0.0.1:50053"
    # A model's directory, or a name on the Hugging Face hub.
    model: str = str(DEMO_DIRECTORY)
    # The name that callers use; empty: the directory's, or the one on the hub.
    served_name: str = ""
    # Prompt and output together, in tokens; None: what the model was made for.
    max_model_len: int | None = Field(default=None, gt=0)
    # What weights and activations are computed in; auto: as the model was made.
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    # Accelerators that share one copy of the model.
    tensor_parallel_size: int = Field(default=1, gt=0)
    # The share of an accelerator's memory that the engine takes for itself.
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    # Where there is no accelerator: memory for the KV cache, in GiB.
    cpu_kv_cache_gib: float = Field(default=1, gt=0)
    # Tokens in a block of the KV cache; None: what the engine thinks best.
    block_size: int | None = Field(default=None, gt=0)
    # Any other argument of vLLM's AsyncEngineArgs, as a JSON object.
    engine_args: dict[str, Any] = Field(default_factory=dict)
    # vLLM's names; None: chosen by services/inference/models.py; empty: none.
    tool_parser: str | None = None
    # The same for reasoning.
    reasoning_parser: str | None = None
    # What the engine's grammar holds where calls are optional. auto: calls of strict functions;
    # function: the names of all; parameter: the arguments of all, too. Others are checked when they
    # are whole, and cannot leave piece by piece.
    tool_strict_level: Literal["auto", "function", "parameter"] = "parameter"
    # None: as services/inference/models.py says.
    summarises: bool | None = None
    # What may wait for its first token before callers are sent away: generations, prompt tokens.
    max_waiting: int = Field(default=256, gt=0)
    # The same in tokens of their prompts.
    max_waiting_tokens: int = Field(default=262_144, gt=0)
    # Seconds that an engine may take no step while a generation waits for it; then it is given up.
    stall_seconds: float = Field(default=120, gt=0)

    @property
    def name(self) -> str:
        """What the model is called by those who ask for it."""
        if self.served_name:
            return self.served_name
        directory = Path(self.model)
        if directory == DEMO_DIRECTORY:
            return DEMO
        return directory.resolve().name if directory.is_dir() else self.model
