"""What of logs and manifests may leave a cluster: nothing that holds words or secrets of people.

What a process prints may quote what a person wrote: a bug's message does, and so do other people's
libraries. So nothing is kept because it looks harmless, but only what is known to be: numbers,
ids, places in the code, and the mesh's own sentences, which are constants.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

LEFT_OUT = "(left out)"
# Fields of the mesh's logs whose texts are names and ids, and how these look.
_NAMED = {
    *("timestamp", "level", "service", "request_id", "trace_id", "key_id", "method", "route"),
    *("status", "code", "pod", "pool", "error", "of", "name"),
}
_NAME = re.compile(r"[\w.:/+-]{1,120}")
# The mesh's own events are sentences in lower case. Those of libraries begin with a capital.
_EVENT = re.compile(r"[a-z][a-z ,:;()'+-]{0,120}")
_FRAME = re.compile(r'\s*File "[^"\n]{1,300}", line \d+, in [\w<>.]+')
_RAISED = re.compile(r"([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Warning))\b")
# A user's name and password in an address.
_USERINFO = re.compile(r"://[^/@\s]+@")
# Fields of manifests that hold what a process printed, or what kubectl or Helm noted.
_DROPPED = {"managedFields", "kubectl.kubernetes.io/last-applied-configuration"}
_VARIABLES = {"env"}


def log(lines: Iterable[str]) -> Iterator[str]:
    """The lines of a log, each with what may leave; what may not is counted."""
    left_out = 0
    for line in lines:
        kept = _line(line)
        if kept is None:
            left_out += 1
        else:
            yield kept
    if left_out:
        yield f"({left_out} lines of other programs are left out)"


def _line(line: str) -> str | None:
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if isinstance(entry, dict):
        return json.dumps({key: _value(key, value) for key, value in entry.items()})
    if _FRAME.fullmatch(line):
        return line
    raised = _RAISED.match(line)
    return raised[1] if raised else None


def _value(key: str, value: Any) -> Any:
    if isinstance(value, bool | int | float | None):
        return value
    if key == "exception" and isinstance(value, list):
        return [_stack(stack) for stack in value if isinstance(stack, dict)]
    pattern = _EVENT if key == "event" else _NAME if key in _NAMED else None
    if pattern and isinstance(value, str) and pattern.fullmatch(value):
        return value
    return LEFT_OUT


def _stack(stack: Mapping[str, Any]) -> Mapping[str, Any]:
    """A traceback's class and frames, as services/shared/logs.py writes them."""
    frames = [
        {key: frame[key] for key in ("filename", "lineno", "name") if key in frame}
        for frame in stack.get("frames") or ()
        if isinstance(frame, dict)
    ]
    return {"exc_type": stack.get("exc_type"), "frames": frames}


def manifest(thing: Any) -> Any:
    """A Kubernetes object as JSON, without values of variables and without what processes said."""
    if isinstance(thing, Mapping):
        return {key: _field(key, value) for key, value in thing.items() if key not in _DROPPED}
    if isinstance(thing, list):
        return [manifest(each) for each in thing]
    return _USERINFO.sub(f"://{LEFT_OUT}@", thing) if isinstance(thing, str) else thing


def _field(key: str, value: Any) -> Any:
    if key in _VARIABLES and isinstance(value, list):
        return [
            {**manifest(one), "value": LEFT_OUT} if "value" in one else manifest(one)
            for one in value
        ]
    if key == "terminated" and isinstance(value, Mapping) and "message" in value:
        return {**manifest(value), "message": LEFT_OUT}
    return manifest(value)


def said(pods: Iterable[Any]) -> frozenset[str]:
    """The lines that containers of these pods (V1Pod) said as they ended."""
    found: set[str] = set()
    for pod in pods:
        for kind in (pod.status.init_container_statuses, pod.status.container_statuses):
            for status in kind or ():
                states = (status.state, status.last_state)
                for ended in (state.terminated for state in states if state):
                    if ended and ended.message:
                        found |= {line.strip()[:300] for line in ended.message.splitlines()}
    return frozenset(found - {""})


def sentence(text: str, quotes: frozenset[str]) -> str:
    """What doctor says, without the words of a process that it quotes behind a colon."""
    head, colon, tail = text.partition(": ")
    quoted = colon and any(tail.startswith(quote) or quote in tail for quote in quotes)
    return f"{head}: {LEFT_OUT}" if quoted else text
