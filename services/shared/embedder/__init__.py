"""Texts as vectors: the bundled all-MiniLM-L6-v2, for whatever must compare meanings."""

from services.shared.embedder.embedder import DIMENSIONS, Embedder, Vectors, open_embedder

__all__ = ["DIMENSIONS", "Embedder", "Vectors", "open_embedder"]
