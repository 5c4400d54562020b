"""Texts as vectors: the bundled all-MiniLM-L6-v2, for whatever must compare meanings.

`open_text_model` also runs other models over the same tokens.
"""

from services.shared.embedder.embedder import DIMENSIONS, Embedder, Vectors, open_embedder
from services.shared.embedder.text_model import TOKENIZER, Rows, TextModel, open_text_model

__all__ = [
    "DIMENSIONS",
    "TOKENIZER",
    "Embedder",
    "Rows",
    "TextModel",
    "Vectors",
    "open_embedder",
    "open_text_model",
]
