"""vLLM's executor for a CPU, which leaves its core to others while the model computes."""

import time

from vllm.distributed.device_communicators import shm_broadcast
from vllm.v1.executor.multiproc_executor import MultiprocExecutor

# Linux lets a thread sleep for about 50 microseconds more.
_NAP_SECONDS = 50e-6


class WaitingExecutor(MultiprocExecutor):
    """Sleeps for a moment whenever a step's outputs are not there yet.

    vLLM's own executor calls `sched_yield` instead, and so keeps a core busy that the mesh's other
    processes need. On Linux 6.18 those that share the core may wait for .2 seconds then.
    """

    def _post_init_executor(self) -> None:
        super()._post_init_executor()
        # This process waits nowhere else. The worker, whose core is its own, yields as before.
        shm_broadcast.sched_yield = _nap  # type: ignore[attr-defined]


def _nap() -> None:
    time.sleep(_NAP_SECONDS)
