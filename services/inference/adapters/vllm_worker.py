"""One of several nodes that run one engine: `python -m services.inference.adapters.vllm_worker`.

It reads the same config as the service on the first node, the leader, but for `node_rank` in
INFERENCE_ENGINE_ARGS. It loads its part of the model and computes its part of each step that the
leader's engine sends. It takes no calls. It ends when a process of its engine ends.
"""

import signal
import sys
from typing import Never

import structlog

from services.inference.adapters import vllm_environment
from services.inference.config import InferenceConfig
from services.shared import logs
from services.shared.errors import CannotStart
from services.shared.process import read

_log = structlog.get_logger()


def run(config: InferenceConfig) -> None:
    """Returns when the engine's processes on this node have ended. Raises `CannotStart`."""
    vllm_environment.prepare()
    # Imported here: vLLM reads the environment that was just prepared.
    from vllm.platforms import current_platform  # noqa: PLC0415
    from vllm.v1.executor.multiproc_executor import MultiprocExecutor  # noqa: PLC0415

    from services.inference.adapters.vllm_engine import (  # noqa: PLC0415
        LIKE_THE_SERVER,
        engine_args,
    )

    args = engine_args(config)
    if not 0 < args.node_rank < args.nnodes:
        told = f"node_rank {args.node_rank} of nnodes {args.nnodes}"
        raise CannotStart(f"INFERENCE_ENGINE_ARGS: {told}; a worker is 1 or more, and less than it")
    if current_platform.is_cpu():
        vllm_environment.prepare_for_cpu()
    made = args.create_engine_config(usage_context=LIKE_THE_SERVER, headless=True)
    _log.info("worker starting", leader=args.master_addr, node=args.node_rank, of=args.nnodes)
    executor = MultiprocExecutor(made, monitor_workers=False)
    executor.start_worker_monitor(inline=True)


def main() -> None:
    config = read(InferenceConfig)
    logs.service_name.set("inference")
    logs.configure(config.log_level)
    signal.signal(signal.SIGTERM, _leave)
    try:
        run(config)
    except CannotStart as error:
        sys.exit(f"inference: {error}")
    # Whatever ended it, the group is not whole any more: its controller makes it anew.
    sys.exit("inference: the engine's part on this node has ended")


def _leave(*_: object) -> Never:
    raise SystemExit(0)


if __name__ == "__main__":
    main()
