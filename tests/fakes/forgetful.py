"""`python -m tests.fakes.forgetful`: a gateway that keeps nothing of the tools that a turn runs."""

from services.gateway import resuming
from services.gateway.ports import Neighbours
from services.gateway.steps import Steps
from services.gateway.wiring import SERVICE
from services.shared.process import main

_heard_again = resuming.heard_again


def _without_tools(neighbours: Neighbours, steps: Steps) -> Neighbours:
    heard = _heard_again(neighbours, steps)
    return Neighbours(heard.moderation, heard.context, heard.inference, neighbours.tools)


if __name__ == "__main__":
    vars(resuming)[_heard_again.__name__] = _without_tools
    main(SERVICE)
