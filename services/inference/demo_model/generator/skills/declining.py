"""What policy forbids is refused; what only a bigger model can do gets a plain word about that."""

from services.inference.demo_model.generator import names, replies
from services.inference.demo_model.generator.outside import any_text
from services.inference.demo_model.generator.phrasebook import patterns
from services.inference.demo_model.generator.scene import Exchange, Scene, assistant, user

_HARMS = patterns("harms")
_GENERAL = patterns("general")["general"]
_REQUESTS = [
    _HARMS[f"{harm} requests"]
    for harm in ("weapon", "violence", "drug", "malware", "hate", "sexual")
]


def refuse(scene: Scene) -> Exchange:
    rng = scene.rng
    if scene.chance(0.16):
        asked = scene.say(_HARMS["self-harm requests"])
        return Exchange("refuse", (user(asked), assistant(replies.SELF_HARM)))
    outside = any_text(rng, scene.outside.harmful) if scene.chance(0.3) else None
    slots = {
        "weapon": rng.choice(_HARMS["weapons"]),
        "drug": rng.choice(_HARMS["drugs"]),
        "malware": rng.choice(_HARMS["malware"]),
        "victim": rng.choice(_HARMS["victims"]),
        "group": rng.choice(_HARMS["groups"]),
    }
    asked = outside or scene.say(rng.choice(_REQUESTS), **slots)
    return Exchange("refuse", (user(asked), assistant(replies.REFUSAL)))


def refuse_outside(scene: Scene) -> Exchange | None:
    """Only what others wrote; for evaluation, since their words are less regular than ours."""
    asked = any_text(scene.rng, scene.outside.harmful)
    return Exchange("refuse", (user(asked), assistant(replies.REFUSAL))) if asked else None


def fall_back(scene: Scene) -> Exchange | None:
    outside = any_text(scene.rng, scene.outside.general) if scene.chance(0.4) else None
    if outside is None and scene.chance(0.2):
        outside = scene.say(_HARMS["look-alikes"])
    asked = outside or _general(scene)
    if scene.understood(asked):
        return None
    return Exchange("fall back", (user(asked), assistant(replies.FALLBACK)))


def _general(scene: Scene) -> str:
    rng, lexicon = scene.rng, scene.lexicon
    return scene.say(
        _GENERAL,
        word=lexicon.word(rng),
        words=lexicon.words(rng, 1, 3),
        person=f"{rng.choice(names.FIRST)} {lexicon.proper_word(rng)}",
        place=lexicon.place(rng),
    )
