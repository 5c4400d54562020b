"""How moderation is put together."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from services.moderation.adapters.heads import HeadStage, open_heads
from services.moderation.adapters.hidden import HiddenFinder
from services.moderation.adapters.injection import InjectionFinder
from services.moderation.adapters.metered import (
    MeteredFirstStage,
    MeteredModeration,
    MeteredSecondStage,
)
from services.moderation.adapters.ngrams import CLEAR_BELOW, NgramStage, open_ngrams
from services.moderation.adapters.personal import PersonalFinder
from services.moderation.adapters.plain import Plainly
from services.moderation.adapters.reader import Reader, open_reader
from services.moderation.adapters.secrets import open_secrets
from services.moderation.api import Direction
from services.moderation.cache import CachedInspector
from services.moderation.cascade import Cascade
from services.moderation.config import ModerationConfig
from services.moderation.inspector import TextInspector
from services.moderation.phrasebook import Phrasebook
from services.moderation.policy import Policy, read_policy
from services.moderation.ports import Finder, WindowScorer
from services.moderation.screener import Screener
from services.moderation.server import ModerationServer
from services.shared.process import Service
from services.shared.server import Servable

# Screened once at start: the rules, both stages and libphonenumber load files on their first use.
_WARM_UP = "Call +44 20 7946 0958, api key: sk-live-0123456789abcdef, and kill everyone."


@asynccontextmanager
async def build(
    config: ModerationConfig, registry: CollectorRegistry
) -> AsyncIterator[Sequence[Servable]]:
    async with open_screener(config, registry) as screener:
        await screener.screen([_WARM_UP], Direction.INPUT)
        yield [ModerationServer(MeteredModeration(screener, registry))]


@asynccontextmanager
async def open_screener(
    config: ModerationConfig, registry: CollectorRegistry
) -> AsyncIterator[Screener]:
    """The core with all that it needs."""
    policy = read_policy(config.policy)
    with open_reader(config.embedder_threads) as reader:
        scorer = _cascade(policy, reader, registry)
        finders = open_finders()
        inspector = CachedInspector(
            TextInspector(scorer, finders, policy.window_size), texts=config.cached_texts
        )
        yield Screener(inspector, scorer, finders, policy)


def open_finders() -> Sequence[Finder]:
    """In order: where two find the same, the first one names it."""
    return [
        Plainly(open_secrets()),
        Plainly(PersonalFinder()),
        HiddenFinder(),
        Plainly(InjectionFinder()),
    ]


def _cascade(policy: Policy, reader: Reader, registry: CollectorRegistry) -> WindowScorer:
    return Cascade(
        MeteredFirstStage(NgramStage(open_ngrams()), registry),
        MeteredSecondStage(HeadStage(reader, open_heads()), registry),
        Phrasebook(policy.phrases),
        clear_below=CLEAR_BELOW,
    )


SERVICE = Service("moderation", ModerationConfig, build)
