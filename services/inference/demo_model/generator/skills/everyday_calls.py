"""Plain requests for the tools that applications really offer."""

from services.inference.demo_model.generator.everyday import EverydayTool, requested
from services.inference.demo_model.generator.results import error_result, stranger_result
from services.inference.demo_model.generator.scene import (
    Exchange,
    Scene,
    assistant,
    calls,
    result,
    user,
)


def call_everyday(scene: Scene) -> Exchange | None:
    tools = [tool for tool in scene.tools if isinstance(tool, EverydayTool)]
    if not tools:
        return None
    tool = scene.rng.choice(tools)
    way = scene.rng.choice(tool.family.ways)
    slots, arguments = requested(scene.rng, scene.lexicon, tool, way)
    text, answer = error_result(scene) if scene.chance(0.05) else stranger_result(scene)
    called = [user(scene.say(way, **slots)), calls((tool.name, arguments))]
    return Exchange("everyday call", (*called, result(text), assistant(answer)))
