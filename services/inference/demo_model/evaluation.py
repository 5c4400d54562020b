"""Measures the demo model by skill on held-out words and phrasings: whole replies, to the letter.

`--engine vllm` decodes greedily as the mesh does. `--engine torch` asks after every token whether
the right one is the likeliest, which for greedy decoding is the same, and takes one pass.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from transformers import LlamaForCausalLM

from services.inference.demo_model.generator.composer import Composer
from services.inference.demo_model.generator.lexicon import Lexicon, read_words
from services.inference.demo_model.generator.outside import NOTHING_OUTSIDE, read_outside
from services.inference.demo_model.generator.split import Split
from services.inference.demo_model.probes import ROWS, Probe, probes
from services.inference.demo_model.rendering import MODEL_FOLDER, POSITIONS, ChatEncoder

MAX_REPLY = 400
_KV_CACHE_BYTES = 2**30


class Judge(Protocol):
    def misses(self, asked: Sequence[Probe]) -> list[tuple[Probe, str]]:
        """The probes answered wrongly, with what was said instead."""
        ...


class TorchJudge:
    def __init__(self, folder: Path, encoder: ChatEncoder) -> None:
        self._model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        self._encoder = encoder

    def misses(self, asked: Sequence[Probe]) -> list[tuple[Probe, str]]:
        heard = ((probe, self._wrong(probe)) for probe in asked)
        return [(probe, said) for probe, said in heard if said is not None]

    @torch.inference_mode()
    def _wrong(self, probe: Probe) -> str | None:
        rendered = self._encoder.encode([*probe.messages, probe.target], probe.tools)
        start, end = rendered.replies[-1]
        ids = torch.tensor([rendered.ids[:end]])
        hidden = self._model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        said = self._model.lm_head(hidden[0, start - 1 :]).argmax(-1).tolist()
        if said == rendered.ids[start:end]:
            return None
        return self._encoder.tokenizer.decode(said, skip_special_tokens=False)


class VllmJudge:
    def __init__(self, folder: Path, encoder: ChatEncoder) -> None:
        # Takes seconds, and is not needed by the other judge.
        from vllm import LLM, SamplingParams  # noqa: PLC0415

        self._encoder = encoder
        self._engine = LLM(
            str(folder),
            max_model_len=POSITIONS,
            seed=0,
            disable_log_stats=True,
            kv_cache_memory_bytes=_KV_CACHE_BYTES,
        )
        self._greedy = SamplingParams(
            temperature=0, max_tokens=MAX_REPLY, skip_special_tokens=False
        )

    def misses(self, asked: Sequence[Probe]) -> list[tuple[Probe, str]]:
        rendered = [self._encoder.encode([*p.messages, p.target], p.tools) for p in asked]
        prompts = [r.ids[: r.replies[-1][0]] for r in rendered]
        outputs = self._engine.generate(prompts, self._greedy, use_tqdm=False)
        missed = []
        for probe, right, output in zip(asked, rendered, outputs, strict=True):
            start, end = right.replies[-1]
            if list(output.outputs[0].token_ids) != right.ids[start:end]:
                missed.append((probe, output.outputs[0].text))
        return missed


def evaluate(
    judge: Judge,
    composer: Composer,
    encoder: ChatEncoder,
    *,
    rows: Sequence[str],
    count: int,
    seed: int,
    show: int,
) -> dict[str, float]:
    """Prints the table line by line; `show` misses of each skill below it."""
    scores = {}
    print("| skill | prompts | exact |\n|---|---:|---:|", flush=True)
    for name in rows:
        asked = [p for p in probes(composer, name, count, seed) if _fits(encoder, p)]
        missed = judge.misses(asked)
        scores[name] = 1 - len(missed) / len(asked)
        print(f"| {name} | {len(asked)} | {scores[name]:.1%} |", flush=True)
        for probe, said in missed[:show]:
            print(_shown(probe, said), flush=True)
    return scores


def _fits(encoder: ChatEncoder, probe: Probe) -> bool:
    return len(encoder.encode([*probe.messages, probe.target], probe.tools).ids) < POSITIONS


def _shown(probe: Probe, said: str) -> str:
    wanted = probe.target.get("tool_calls") or probe.target["content"]
    return (
        f"    asked  {probe.messages[-1]['content']!r}\n    wanted {wanted!r}\n    said   {said!r}"
    )


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=Path, required=True, help="a word list, one word a line")
    parser.add_argument("--outside", type=Path, help="folder with others' texts; see the README")
    parser.add_argument("--model", type=Path, default=MODEL_FOLDER)
    parser.add_argument("--engine", choices=("torch", "vllm"), default="torch")
    parser.add_argument("--count", type=int, default=200, help="prompts for each skill")
    parser.add_argument("--rows", nargs="*", choices=ROWS, help="only these")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=0, help="misses to print for each skill")
    parser.add_argument("--split", choices=[s.value for s in Split], default="held-out")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    encoder = ChatEncoder.load(options.model)
    split = Split(options.split)
    outside = read_outside(options.outside, split) if options.outside else NOTHING_OUTSIDE
    composer = Composer(Lexicon(read_words(options.words), split), split, outside)
    judge: Judge
    if options.engine == "vllm":
        judge = VllmJudge(options.model, encoder)
    else:
        judge = TorchJudge(options.model, encoder)
    started = time.monotonic()
    rows = [name for name in ROWS if options.outside or "others" not in name]
    evaluate(
        judge,
        composer,
        encoder,
        rows=options.rows or rows,
        count=options.count,
        seed=options.seed,
        show=options.show,
    )
    print(f"\n{options.engine}, {split.value} words, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
