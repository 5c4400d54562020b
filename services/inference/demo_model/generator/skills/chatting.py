"""Small talk with fixed answers, and saying again what the user wants said."""

from services.inference.demo_model.generator import replies
from services.inference.demo_model.generator.phrasebook import patterns
from services.inference.demo_model.generator.scene import Exchange, Scene, assistant, user

_WAYS = patterns("chatting")
_ANSWERS = {
    "hello": replies.HELLO,
    "morning": replies.MORNING,
    "afternoon": replies.AFTERNOON,
    "evening": replies.EVENING,
    "night": replies.NIGHT,
    "how_are_you": replies.HOW_ARE_YOU,
    "thanks": replies.THANKS,
    "goodbye": replies.GOODBYE,
    "who": replies.WHO,
    "all_right": replies.ALL_RIGHT,
}


def greet(scene: Scene) -> Exchange:
    if scene.chance(0.12):
        return introduce(scene)
    topic, answer = scene.rng.choice(list(_ANSWERS.items()))
    return Exchange("greet", (user(scene.say(_WAYS[topic])), assistant(answer)))


def introduce(scene: Scene) -> Exchange:
    name = scene.lexicon.person(scene.rng)
    asked = scene.say(_WAYS["introduction"], name=name)
    return Exchange("greet", (user(asked), assistant(replies.met(name))))


def echo(scene: Scene) -> Exchange:
    """Copying at its plainest; what the curriculum starts with."""
    rng, lexicon = scene.rng, scene.lexicon
    text = lexicon.words(rng, 1, 8) if scene.chance(0.6) else lexicon.text(rng)
    return Exchange("echo", (user(scene.say(_WAYS["echo"], text=text)), assistant(text)))
