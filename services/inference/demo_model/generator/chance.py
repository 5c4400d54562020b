"""Randomness that can be had again."""

import random


def seeded(*parts: object) -> random.Random:
    return random.Random("/".join(map(str, parts)))  # noqa: S311 - no secrets are made here
