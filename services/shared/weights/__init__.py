"""A model's files, fetched into a folder before a service reads them there."""

from services.shared.weights.fetching import NotFetched, fetch
from services.shared.weights.ports import StoredFile

__all__ = ["NotFetched", "StoredFile", "fetch"]
