"""What is left of a caller's limits, in the headers that OpenAI's API has."""

from collections.abc import Iterator

from services.gateway.ports import Left, Verdict

Header = tuple[bytes, bytes]
RATE_HEADERS = tuple(
    f"x-ratelimit-{name}-{kind}"
    for kind in ("requests", "tokens")
    for name in ("limit", "remaining", "reset")
)


def rate_headers(verdict: Verdict | None) -> list[Header]:
    """None where nothing is limited, or the request started no turn."""
    if verdict is None:
        return []
    return [*_told("requests", verdict.requests), *_told("tokens", verdict.tokens)]


def _told(kind: str, left: Left | None) -> Iterator[Header]:
    if left:
        values = {"limit": left.limit, "remaining": left.left, "reset": duration(left.reset)}
        for name, value in values.items():
            yield f"x-ratelimit-{name}-{kind}".encode(), str(value).encode()


def duration(seconds: float) -> str:
    """As OpenAI writes it: `6m0s`, `1s` or `120ms`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
