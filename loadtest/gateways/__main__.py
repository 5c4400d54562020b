"""`make gateway-faults`: what readers lost or got twice. Without the fence it is to be red."""

import argparse
import asyncio
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

from loadtest.gateways.faults import Plan, Tally, run, site
from loadtest.interrupts import Interrupted, interruptible

_RESUME_SECONDS = 3.0
_HELP = {
    "streams": "in the background, at a time",
    "foreground": "streams at a time whose callers wait for them",
    "words": "of each stream",
    "pace": "words of each stream a second",
    "kills": "gateways killed, one after the other",
    "pauses": "gateways stopped (SIGSTOP) until their leases are over",
    "lease_seconds": "after how long without a sign of life another gateway goes on",
    "gateways": "at a time; a killed one is started again",
    "seed": "of which gateway is hit, and when",
}


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    for each in fields(Plan):
        if each.name != "fenced":
            arguments.add_argument(
                f"--{each.name.replace('_', '-')}",
                type=type(each.default),
                default=each.default,
                help=_HELP[each.name],
            )
    arguments.add_argument(
        "--unfenced", action="store_true", help="no writer is refused: the negative control"
    )
    given = vars(arguments.parse_args())
    plan = Plan(fenced=not given.pop("unfenced"), **given)
    try:
        with (
            interruptible(),
            tempfile.TemporaryDirectory() as folder,
            site(Path(folder), plan) as here,
        ):
            tally = asyncio.run(run(here, plan))
    except Interrupted as error:
        sys.exit(f"stopped by {error}, and with it all that the bench had started")
    for line in report(plan, tally):
        sys.stdout.write(f"{line}\n")
    sys.exit(0 if good(plan, tally) else 1)


def good(plan: Plan, tally: Tally) -> bool:
    # Most of the faults have to bite; some come when the gateway has just ended its turns.
    bit = tally.kills_that_bit >= 0.9 * plan.kills and (not plan.pauses or tally.fenced > 0)
    return bit and not tally.broken and not tally.failed and tally.whole >= plan.streams


def report(plan: Plan, tally: Tally) -> list[str]:
    alone = sum(each.faults == 1 for each in tally.resumed)
    return [
        f"{plan.streams} streams in the background and {plan.foreground} that are waited for,"
        f" of {plan.words} words, at a time; {plan.gateways} gateways,"
        f" lease {plan.lease_seconds:g} s, fence {'on' if plan.fenced else 'OFF'}",
        f"faults: {tally.kills} kills, of which {tally.kills_that_bit} bit,"
        f" {tally.pauses} pauses, of which {tally.pauses_that_bit} bit;"
        f" {tally.taken_over} turns taken over, {tally.fenced} writers refused",
        f"whole {tally.whole}, lost {tally.lost}, doubled {tally.doubled},"
        f" out of order {tally.wrong}, failed {dict(tally.failed)}",
        f"of these {tally.foreground} were waited for, {tally.foreground_resumed} of them resumed",
        f"{len(tally.resumed)} resumed: {_shares(tally)} (goal: p99 {_RESUME_SECONDS:g} s)",
        f"of these {alone} met no second fault while they waited: {_shares(tally, most_faults=1)}",
    ]


def _shares(tally: Tally, **of_these: int) -> str:
    p50, p99, longest = (tally.percentile(part, **of_these) for part in (0.5, 0.99, 1))
    return f"p50 {p50:.2f} s, p99 {p99:.2f} s, longest {longest:.2f} s"


if __name__ == "__main__":
    main()
