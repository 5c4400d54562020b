"""What a command cannot do."""


class CannotDo(Exception):
    """The sentence says why, and what to do instead."""
