"""Trains the demo model from nothing on generated conversations, on a laptop's processor or a GPU.

Stop it with Ctrl-C whenever you like: it writes a checkpoint and goes on from there next time.
`--million-tokens` may change between runs: the learning rate stays level until the last part.
"""

import argparse
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer
from transformers import LlamaForCausalLM

from services.inference.demo_model.batches import Batch, Batcher
from services.inference.demo_model.exporting import export
from services.inference.demo_model.generator.chance import seeded
from services.inference.demo_model.generator.composer import (
    BARE,
    LONG,
    MIDDLE,
    SHORT,
    SKILLS,
    Composer,
    Shape,
)
from services.inference.demo_model.generator.lexicon import Lexicon, read_words
from services.inference.demo_model.generator.outside import NOTHING_OUTSIDE, read_outside
from services.inference.demo_model.generator.split import Split
from services.inference.demo_model.network import untrained
from services.inference.demo_model.rendering import MODEL_FOLDER, ChatEncoder
from services.inference.demo_model.supply import MakeBatcher, Order, blocks

MATRIX_RATE, OTHER_RATE = 0.02, 3e-3
WARM_UP_STEPS = 100
COPYING_STEPS = 500
REPORT_EVERY = 20


class Scores:
    """How often a whole reply came out right, by skill, as a moving average."""

    def __init__(self, exact: Mapping[str, float]) -> None:
        self.exact = dict(exact)

    def add(self, skill: str, right: bool) -> None:
        self.exact[skill] = 0.99 * self.exact.get(skill, 0.0) + 0.01 * right

    def emphasis(self) -> dict[str, float]:
        """What fails is practised more: up to six times as much as what never does."""
        return {name: 0.2 + (1 - self.exact.get(name, 0.0)) for name in SKILLS}

    def __str__(self) -> str:
        rising = sorted(self.exact.items(), key=lambda item: item[1])
        return " ".join(f"{name.replace(' ', '-')}={share:.2f}" for name, share in rising)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Goes by progress: the share of the `tokens` that were read, padding included.

    `level` is the share of the full learning rate that holds until the last part decays.
    """

    tokens: float
    level: float
    decay_share: float

    def rate(self, step: int, progress: float) -> float:
        warm = min(1.0, (step + 1) / WARM_UP_STEPS)
        return self.level * warm * min(1.0, max(0.0, 1 - progress) / self.decay_share)

    def shape(self, rng: random.Random, step: int, progress: float) -> Shape:
        """First bare copying, then tools; long conversations cost most, and come last."""
        if step < COPYING_STEPS:
            return BARE
        if progress < 0.2:
            return SHORT
        weights = (70, 20, 10) if progress > 1 - self.decay_share else (82, 14, 4)
        return rng.choices((SHORT, MIDDLE, LONG), weights)[0]


class Trainer:
    """`body` computes what `model.model` does, and may be quicker at it."""

    def __init__(
        self,
        model: LlamaForCausalLM,
        body: Callable[..., Any],
        schedule: Schedule,
        folder: Path,
    ) -> None:
        self._model = model
        self._body = body
        self._schedule = schedule
        self._checkpoint = folder / "checkpoint.pt"
        self._optimizers = _optimizers(model)
        self._scores = Scores({})
        self._block = 0
        self._step = 0
        self._tokens = 0
        self._stopped = False

    def stop(self, _: int, __: FrameType | None) -> None:
        print("stopping after this block of batches", flush=True)
        self._stopped = True

    def resume(self) -> None:
        if not self._checkpoint.exists():
            return
        state = torch.load(self._checkpoint, map_location=self._model.device, weights_only=True)
        self._model.load_state_dict(state["model"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self._scores = Scores(state["exact"])
        self._block, self._step, self._tokens = state["block"], state["step"], state["tokens"]

    def save(self) -> None:
        state = {
            "model": self._model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "exact": self._scores.exact,
            "block": self._block,
            "step": self._step,
            "tokens": self._tokens,
        }
        partial = self._checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self._checkpoint)

    def train(self, make_batcher: MakeBatcher, *, makers: int, save_every: int) -> None:
        saved = self._step
        supply = blocks(make_batcher, self._order, first=self._block, makers=makers)
        with closing(supply):
            while self._progress < 1 and not self._stopped:
                self._train_block(next(supply))
                self._block += 1
                if self._step - saved >= save_every:
                    self.save()
                    saved = self._step
        self.save()

    @property
    def _progress(self) -> float:
        return self._tokens / self._schedule.tokens

    def _train_block(self, batches: list[Batch]) -> None:
        for batch in batches:
            began = time.monotonic()
            self._set_rates(self._schedule.rate(self._step, self._progress))
            loss = self._learn(batch)
            self._step += 1
            self._tokens += batch.ids.size
            if self._step % REPORT_EVERY == 0:
                speed = batch.ids.size / (time.monotonic() - began)
                told = f"step {self._step}, {self._progress:.1%}: loss {loss:.3f}"
                print(f"{told}, {speed:.0f} tokens/s; {self._scores}", flush=True)

    def _order(self, number: int) -> Order:
        rng = seeded("shape", number)
        shape = self._schedule.shape(rng, self._step, self._progress)
        return Order(shape, self._emphasis())

    def _emphasis(self) -> dict[str, float]:
        emphasis = self._scores.emphasis()
        if self._step < COPYING_STEPS:
            emphasis["echo"] = 60 * (1 - self._step / COPYING_STEPS) + 1
        return emphasis

    def _set_rates(self, share: float) -> None:
        for optimizer, rate in zip(self._optimizers, (MATRIX_RATE, OTHER_RATE), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * share

    def _learn(self, batch: Batch) -> float:
        """One step; only the assistant's own tokens count."""
        device = self._model.device
        ids = torch.from_numpy(batch.ids).to(device, torch.int64)
        learnt = torch.from_numpy(batch.learnt).to(device)[:, 1:]
        with torch.autocast(device.type, torch.bfloat16):
            hidden = self._body(input_ids=ids[:, :-1], use_cache=False)
            logits = self._model.lm_head(hidden.last_hidden_state[learnt])
        targets = ids[:, 1:][learnt]
        loss = nn.functional.cross_entropy(logits.float(), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self._score(batch, (logits.argmax(-1) == targets).tolist())
        return loss.item()

    def _score(self, batch: Batch, right: list[bool]) -> None:
        at = 0
        for length, skill in batch.replies:
            self._scores.add(skill, all(right[at : at + length]))
            at += length


def _optimizers(model: nn.Module) -> list[Optimizer]:
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        kind = matrices if parameter.ndim == 2 and "embed" not in name else others
        kind.append(parameter)
    return [
        Muon(matrices, lr=MATRIX_RATE, weight_decay=0.05),
        AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=Path, required=True, help="a word list, one word a line")
    parser.add_argument("--outside", type=Path, help="folder with others' texts; see the README")
    parser.add_argument("--run", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--million-tokens", type=float, default=300, help="to read, in all runs")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--makers", type=int, default=0, help="processes that make conversations")
    parser.add_argument("--level", type=float, default=1.0, help="of the learning rate")
    parser.add_argument("--decay-share", type=float, default=0.4, help="last part of the tokens")
    parser.add_argument("--tokens", type=int, default=8192, help="in a step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=250)
    parser.add_argument("--tokenizer", type=Path, default=MODEL_FOLDER)
    parser.add_argument("--export", type=Path, help="write the model here at the end")
    return parser.parse_args()


def batcher(options: argparse.Namespace) -> Batcher:
    split = Split.TRAINING
    outside = read_outside(options.outside, split) if options.outside else NOTHING_OUTSIDE
    composer = Composer(Lexicon(read_words(options.words), split), split, outside)
    encoder = ChatEncoder.load(options.tokenizer)
    return Batcher(composer, encoder, tokens=options.tokens, seed=options.seed)


def main() -> None:
    options = parsed()
    torch.set_num_threads(options.threads)
    options.run.mkdir(parents=True, exist_ok=True)
    encoder = ChatEncoder.load(options.tokenizer)
    vocabulary = encoder.tokenizer.get_vocab_size()
    model = untrained(vocabulary, turn_end=encoder.turn_end, pad=encoder.pad, seed=options.seed)
    model.to(options.device)
    # On a GPU compiling took over a minute and the rest of the step hides what it would save.
    body = torch.compile(model.model, dynamic=True) if options.device == "cpu" else model.model
    schedule = Schedule(options.million_tokens * 1e6, options.level, options.decay_share)
    trainer = Trainer(model, body, schedule, options.run)
    trainer.resume()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, trainer.stop)
    trainer.train(partial(batcher, options), makers=options.makers, save_every=options.save_every)
    if options.export:
        export(model, options.tokenizer, options.export)


if __name__ == "__main__":
    main()
