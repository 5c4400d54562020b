"""What is learnt from, the schedule, and that a stopped run goes on where it was."""

from functools import partial
from itertools import accumulate
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from services.inference.demo_model.batches import Batch, Batcher
from services.inference.demo_model.generator.chance import seeded
from services.inference.demo_model.generator.composer import (
    BARE,
    LONG,
    SHORT,
    SKILLS,
    Composer,
)
from services.inference.demo_model.network import untrained
from services.inference.demo_model.rendering import ChatEncoder
from services.inference.demo_model.training import Schedule, Scores, Trainer


@pytest.fixture
def batcher(composer: Composer, encoder: ChatEncoder) -> Batcher:
    return Batcher(composer, encoder, tokens=2048, seed=3)


@pytest.fixture
def batches(batcher: Batcher) -> list[Batch]:
    return batcher.block(0, SHORT, {})


def model(encoder: ChatEncoder, seed: int) -> LlamaForCausalLM:
    vocabulary = encoder.tokenizer.get_vocab_size()
    return untrained(vocabulary, turn_end=encoder.turn_end, pad=encoder.pad, seed=seed)


def test_only_the_assistants_turns_are_learnt(batches: list[Batch], encoder: ChatEncoder) -> None:
    for batch in batches:
        learnt = batch.ids[batch.learnt].tolist()
        text = encoder.tokenizer.decode(learnt, skip_special_tokens=False)
        assert text.count("<|im_end|>") == len(batch.replies)
        assert "<|im_start|>" not in text
        assert "<tool_response>" not in text


def test_replies_tell_how_the_learnt_ids_are_divided(
    batches: list[Batch], encoder: ChatEncoder
) -> None:
    for batch in batches:
        ends = accumulate(length for length, _ in batch.replies)
        learnt = batch.ids[batch.learnt]
        assert all(learnt[end - 1] == encoder.turn_end for end in ends)
        assert sum(length for length, _ in batch.replies) == len(learnt)
        assert {skill for _, skill in batch.replies} <= {*SKILLS, "answer"}


def test_every_row_ends_with_a_reply(batches: list[Batch], encoder: ChatEncoder) -> None:
    for batch in batches:
        for row, learnt in zip(batch.ids, batch.learnt, strict=True):
            written = row[row != encoder.pad]
            assert written[-1] == encoder.turn_end
            assert learnt[len(written) - 1]


def test_the_same_block_holds_the_same_batches(batcher: Batcher) -> None:
    first, second = batcher.block(5, SHORT, {}), batcher.block(5, SHORT, {})
    assert [batch.ids.tolist() for batch in first] == [batch.ids.tolist() for batch in second]


def test_batches_keep_about_to_their_size(batches: list[Batch]) -> None:
    assert all(batch.ids.size <= 2048 * 1.5 for batch in batches if len(batch.ids) > 1)


def test_what_fails_is_emphasised() -> None:
    scores = Scores({"greet": 1.0, "forget": 0.2})
    for _ in range(100):
        scores.add("remember", right=True)
    emphasis = scores.emphasis()
    assert emphasis["greet"] < emphasis["remember"] < emphasis["forget"] < emphasis["echo"]
    assert set(emphasis) == set(SKILLS)


def test_the_learning_rate_rises_stays_and_falls_to_nothing() -> None:
    schedule = Schedule(tokens=100, level=1.0, decay_share=0.4)
    rising = [schedule.rate(step, 0.1) for step in range(100)]
    assert rising[0] < rising[50] < rising[99] == 1.0
    falling = [schedule.rate(1000, share / 10) for share in range(11)]
    assert falling[1] == falling[6] == 1.0
    assert falling[6] > falling[8] > falling[10] == 0.0


def test_copying_comes_first_and_long_conversations_last() -> None:
    schedule = Schedule(tokens=100, level=1.0, decay_share=0.4)
    assert schedule.shape(seeded(1), 0, 0.0) is BARE
    assert schedule.shape(seeded(1), 1000, 0.1) is SHORT
    early, late = (
        sum(schedule.shape(seeded(n), 1000, share) is LONG for n in range(300))
        for share in (0.3, 0.9)
    )
    assert 0 < early < late


# Processors without AVX-512 take minutes for the few steps while other tests run beside it.
@pytest.mark.timeout(400)
def test_a_stopped_run_goes_on_where_it_was(
    tmp_path: Path, composer: Composer, encoder: ChatEncoder
) -> None:
    schedule = Schedule(tokens=1, level=1.0, decay_share=0.4)
    first = model(encoder, seed=1)
    make_batcher = partial(Batcher, composer, encoder, tokens=512, seed=3)
    Trainer(first, first.model, schedule, tmp_path).train(make_batcher, makers=0, save_every=1)
    second = model(encoder, seed=2)
    assert not _same(first, second)
    resumed = Trainer(second, second.model, schedule, tmp_path)
    resumed.resume()
    assert _same(first, second)
    resumed.train(partial(pytest.fail, "it had read enough"), makers=0, save_every=1)
    assert _same(first, second)


def _same(one: LlamaForCausalLM, other: LlamaForCausalLM) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)
