"""The untrained network: a small Llama, so that vLLM serves it unchanged."""

import torch
from torch import Tensor, nn
from torch.autograd import Function
from transformers import AttentionInterface, LlamaConfig, LlamaForCausalLM

from services.inference.demo_model.rendering import POSITIONS


def untrained(vocabulary: int, *, turn_end: int, pad: int, seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    AttentionInterface.register("contiguous", _attend)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=turn_end,
        pad_token_id=pad,
    )
    config._attn_implementation = "contiguous"
    return LlamaForCausalLM(config)  # type: ignore[no-untyped-call]


class _Contiguous(Function):
    """The processor's attention takes far longer backwards over a transposed gradient."""

    @staticmethod
    def forward(_: object, tensor: Tensor) -> Tensor:
        return tensor.contiguous()

    @staticmethod
    def backward(_: object, gradient: Tensor) -> Tensor:
        return gradient.contiguous()


def _attend(
    _: nn.Module, query: Tensor, key: Tensor, value: Tensor, __: Tensor | None, **___: object
) -> tuple[Tensor, None]:
    """Causal attention without a mask: padding stands at the end, where nothing learns from it."""
    attended = nn.functional.scaled_dot_product_attention(
        query.contiguous(), key.contiguous(), value.contiguous(), is_causal=True
    )
    attended = _Contiguous.apply(attended)  # type: ignore[no-untyped-call]
    return attended.transpose(1, 2).contiguous(), None
