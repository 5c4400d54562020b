"""Requests for tools that no one has seen: called by name or description, arguments copied."""

import json

from services.inference.demo_model.generator import replies
from services.inference.demo_model.generator.arguments import Argument, argument, pairs, quoted
from services.inference.demo_model.generator.phrasebook import patterns
from services.inference.demo_model.generator.results import error_result, stranger_result
from services.inference.demo_model.generator.scene import (
    Arguments,
    Exchange,
    Message,
    Scene,
    assistant,
    calls,
    result,
    user,
)
from services.inference.demo_model.generator.tools import BUILT_IN_NAMES, Tool, spoken

_WAYS = patterns("inventions")


def strangers(scene: Scene) -> list[Tool]:
    return [tool for tool in scene.tools if tool.name not in BUILT_IN_NAMES]


def call_invented(scene: Scene) -> Exchange | None:
    tools = strangers(scene)
    if not tools:
        return None
    tool = scene.rng.choice(tools)
    stated = _chosen_arguments(scene, tool)
    messages = _called(scene, _request(scene, tool, stated), tool, stated)
    if scene.chance(0.08) and stated and len(tool.parameters) == 1:
        late = argument(scene.rng, scene.lexicon, tool.parameters[0])
        asked = scene.say(_WAYS["again"], v=late.said)
        messages += _called(scene, asked, tool, [late])
    return Exchange("invented call", tuple(messages))


def ask_for_missing(scene: Scene) -> Exchange | None:
    """Required arguments are not in the request: the model asks for one at a time, in order."""
    tools = [tool for tool in strangers(scene) if tool.required]
    if not tools:
        return None
    tool = scene.rng.choice(tools)
    required = list(tool.required)
    lacking = required if scene.chance(0.5) else [scene.rng.choice(required)]
    optional = [p for p in tool.parameters if not p.required and scene.chance(0.3)]
    given = [p for p in tool.parameters if (p in required and p not in lacking) or p in optional]
    stated = [argument(scene.rng, scene.lexicon, parameter) for parameter in given]
    messages = [user(_request(scene, tool, stated, bare=False))]
    for parameter in lacking:
        messages.append(assistant(replies.missing(parameter.name)))
        if scene.chance(0.4):
            break
        late = argument(scene.rng, scene.lexicon, parameter)
        said = scene.say(_WAYS["fill ins"], k=parameter.spoken, v=late.said)
        messages.append(user(said))
        stated.append(late)
    else:
        messages += _answered(scene, tool, stated)
    return Exchange("missing argument", tuple(messages))


def need_another_tool(scene: Scene) -> Exchange:
    """The user names a tool that is not there."""
    name = f"{scene.lexicon.word(scene.rng)}{scene.rng.choice('_ ')}{scene.lexicon.word(scene.rng)}"
    asked = scene.say(
        _WAYS["no such tool"],
        tool=name,
        v=scene.lexicon.text(scene.rng),
    )
    return Exchange("no tool fits", (user(asked), assistant(replies.FALLBACK)))


def _called(scene: Scene, asked: str, tool: Tool, stated: list[Argument]) -> list[Message]:
    return [user(asked), *_answered(scene, tool, stated)]


def _answered(scene: Scene, tool: Tool, stated: list[Argument]) -> list[Message]:
    given = {said.parameter.name: said.value for said in stated}
    ordered: Arguments = {p.name: given[p.name] for p in tool.parameters if p.name in given}
    text, answer = error_result(scene) if scene.chance(0.05) else stranger_result(scene)
    return [calls((tool.name, ordered)), result(text), assistant(answer)]


def _chosen_arguments(scene: Scene, tool: Tool) -> list[Argument]:
    given = [p for p in tool.parameters if p.required or scene.chance(0.6)]
    return [argument(scene.rng, scene.lexicon, parameter) for parameter in given]


def _request(scene: Scene, tool: Tool, stated: list[Argument], *, bare: bool = True) -> str:
    if not stated:
        return scene.say(_WAYS["by name"], tool=_reference(scene, tool)) + scene.say(_WAYS["ends"])
    if bare and len(stated) == 1 and _speaks_for_itself(stated[0]) and scene.chance(0.55):
        return _bare_request(scene, tool, stated[0])
    if bare and _fits_a_sentence(tool, stated) and scene.chance(0.6):
        return _worded_request(scene, tool, stated)
    if scene.chance(0.1):
        return _code_request(scene, tool, stated)
    shuffled = scene.rng.sample(stated, len(stated)) if scene.chance(0.4) else stated
    alone = len(stated) == 1
    written = pairs(scene.rng, [quoted(scene.rng, said, alone=alone) for said in shuffled])
    opening = scene.say(_WAYS["by name"], tool=_reference(scene, tool))
    return (
        opening
        + scene.say(_WAYS["leads"])
        + " "
        + _listed(scene, written)
        + scene.say(_WAYS["ends"])
    )


def _speaks_for_itself(said: Argument) -> bool:
    return said.parameter.kind != "boolean"


def _bare_request(scene: Scene, tool: Tool, said: Argument) -> str:
    said = quoted(scene.rng, said, alone=True)
    asked = scene.say(_WAYS["bare"], tool=_reference(scene, tool), v=said.said)
    opening = scene.say(_WAYS["openings"])
    return opening + asked + scene.say(_WAYS["ends"])


def _fits_a_sentence(tool: Tool, stated: list[Argument]) -> bool:
    """Values that need no name: few, in the tool's own order, and told from the words around."""
    return len(stated) <= 2 and len(stated) == len(tool.parameters) and _all_speak(stated)


def _all_speak(stated: list[Argument]) -> bool:
    return all(map(_speaks_for_itself, stated))


def _worded_request(scene: Scene, tool: Tool, stated: list[Argument]) -> str:
    """As people ask who do not know that there is a tool; what they say holds its name's words."""
    verb, *rest = spoken(tool.name).split()
    noun = " ".join(rest) or verb
    if scene.chance(0.15):
        noun = noun.removesuffix("s") if noun.endswith("s") else f"{noun}s"
    values = [quoted(scene.rng, said, alone=len(stated) == 1).said for said in stated]
    ways = _WAYS["worded, one value" if len(values) == 1 else "worded, two values"]
    slots = {"verb": verb, "noun": noun} | dict(zip("vw", values, strict=False))
    return scene.say(ways, **slots) + scene.say(_WAYS["ends"])


def _code_request(scene: Scene, tool: Tool, stated: list[Argument]) -> str:
    """As a programmer would type it."""
    values = {s.parameter.name: s.value for s in stated}
    written = {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}
    shape = scene.rng.random()
    if shape < 0.4:
        return f"{tool.name}({', '.join(f'{k}={v}' for k, v in written.items())})"
    if shape < 0.6:
        return f"{tool.name} {json.dumps(values, ensure_ascii=False)}"
    if len(stated) == len(tool.parameters):
        return f"{tool.name}({', '.join(written.values())})"
    return f"{tool.name} {' '.join(f'{k}={v}' for k, v in written.items())}"


def _listed(scene: Scene, written: list[str]) -> str:
    shape = scene.rng.random()
    if shape < 0.35:
        return ", ".join(written)
    if shape < 0.7:
        return f"{', '.join(written[:-1])} and {written[-1]}" if written[1:] else written[0]
    return scene.rng.choice([" and ", ", and ", "; ", "\n", ", "]).join(written)


def _reference(scene: Scene, tool: Tool) -> str:
    """How the user names the tool: by its name, its words, or its description."""
    shape = scene.rng.random()
    described = tool.description.rstrip(".")
    if shape < 0.2:
        return tool.name
    if shape < 0.35 and 1 < len(described.split()) <= 8 and described.isascii():
        return described[:1].lower() + described[1:]
    words = spoken(tool.name).split()
    if shape < 0.6 and len(words) > 1:
        words.insert(1, scene.rng.choice(["the", "a", "my", "this", "the"]))
    return " ".join(words)
