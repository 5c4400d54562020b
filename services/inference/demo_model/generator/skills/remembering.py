"""What concerns memory: keep, forget, and answer from what was kept."""

from services.inference.demo_model.generator import replies
from services.inference.demo_model.generator.facts import Fact
from services.inference.demo_model.generator.phrasebook import patterns
from services.inference.demo_model.generator.results import error_result
from services.inference.demo_model.generator.scene import (
    Exchange,
    Message,
    Scene,
    assistant,
    calls,
    remembered,
    result,
    user,
)

_WAYS = patterns("remembering")


def remember(scene: Scene) -> Exchange | None:
    if not scene.offers("remember", "create_note"):
        return None
    [known] = scene.facts(1)
    fact = known.text
    if scene.chance(0.35):
        fact = _any_fact(scene)
    asked = scene.say(_WAYS["remember"], fact=fact)
    kept = fact
    if scene.chance(0.15):
        [replaced] = scene.facts(1)
        kept = f"{fact} (instead of: {replaced.text})"
    saved, answer = f"Saved: {kept}", replies.ended(f"I will remember: {kept}")
    if scene.chance(0.1):
        saved, answer = error_result(scene)
    call = calls(("remember", {"fact": fact}))
    return Exchange("remember", (user(asked), call, result(saved), assistant(answer)))


def _any_fact(scene: Scene) -> str:
    """What people want kept has no pattern: any words."""
    rng, lexicon = scene.rng, scene.lexicon
    start = rng.choice(
        ["i", "I", "my", "the", "we", "our", "she", "he", "I want", "I never", "all"]
    )
    return f"{start} {lexicon.words(rng, 2, 8)}" + (
        f" {lexicon.text(rng)}" if rng.random() < 0.5 else ""
    )


def forget(scene: Scene) -> Exchange | None:
    if not scene.offers("forget"):
        return None
    [fact] = scene.facts(1)
    shape = scene.rng.random()
    if shape < 0.4:
        subject, asked = fact.text, scene.say(_WAYS["forget fact"], fact=fact.text)
    elif shape < 0.92:
        subject = (
            fact.subject if scene.chance(0.8) else f"the {scene.lexicon.words(scene.rng, 1, 3)}"
        )
        asked = scene.say(_WAYS["forget subject"], subject=subject)
    else:
        subject, asked = "everything", scene.say(_WAYS["forget all"])
    text, answer = _forgotten(scene, subject, fact)
    call = calls(("forget", {"fact": subject}))
    return Exchange("forget", (user(asked), call, result(text), assistant(answer)))


def _forgotten(scene: Scene, subject: str, fact: Fact) -> tuple[str, str]:
    shape = scene.rng.random()
    if shape < 0.1:
        return error_result(scene)
    if shape < 0.3:
        sentence = f"Nothing remembered matches: {subject}"
        return sentence, replies.ended(sentence)
    count = scene.rng.choices((1, 2, 3), (75, 15, 10))[0]
    facts = [fact.text] + [other.text for other in scene.facts(count - 1)]
    lines = "\n".join(f"Forgotten: {text}" for text in facts)
    return lines, replies.ended(f"I have forgotten: {'; '.join(facts)}")


def answer_from_memory(scene: Scene) -> Exchange:
    """The fact stands in the memory block among others, or was said earlier on."""
    facts = scene.facts(scene.rng.choice((1, 1, 2, 3, 3, 4, 5, 6, 8, 10, 12)))
    wanted = facts[0]
    texts = [fact.text for fact in scene.rng.sample(facts, len(facts))]
    if scene.chance(0.06):
        asked = remembered(texts, scene.say(_WAYS["what do you know"]))
        return Exchange("memory answer", (user(asked), assistant(replies.told(texts))))
    asked = remembered(texts, wanted.question)
    return Exchange("memory answer", (user(asked), assistant(replies.told([wanted.text]))))


def answer_from_history(scene: Scene) -> Exchange:
    """The user says something in passing and asks for it later in the conversation."""
    fact, other = scene.facts(2)
    stated = _stated(scene, fact)
    between: list[Message] = []
    if scene.chance(0.5):
        between = _stated(scene, other)
    answer = assistant(replies.told([fact.text]))
    return Exchange("history answer", (*stated, *between, user(fact.question), answer))


def answer_from_preferences(scene: Scene) -> Exchange | None:
    """What the system text says to keep in mind about the user may be asked for."""
    if not scene.preferences:
        return None
    fact = scene.rng.choice(scene.preferences)
    return Exchange(
        "preference answer", (user(fact.question), assistant(replies.told([fact.text])))
    )


def state(scene: Scene) -> Exchange:
    [fact] = scene.facts(1)
    return Exchange("statement", tuple(_stated(scene, fact)))


def _stated(scene: Scene, fact: Fact) -> list[Message]:
    said = scene.say(
        "[|||by the way, |you know, |hi, |well, |btw |so, |actually, ]{fact}[.|!||]", fact=fact.text
    )
    answer = replies.STATEMENT
    if fact.about == "name":
        answer = replies.met(fact.text[len("my name is ") :])
    return [user(said), assistant(answer)]


def not_remembered(scene: Scene) -> Exchange:
    """No fact in the block is about what is asked."""
    facts = scene.facts(scene.rng.choice((1, 1, 2, 3, 4, 5, 7, 9, 13)))
    if not facts[0].question.lower().count(" my ") + facts[0].question.lower().count(" i "):
        return not_remembered(scene)
    if scene.chance(0.1):
        asked = scene.say(_WAYS["what do you know"])
        return Exchange("memory unknown", (user(asked), assistant(replies.UNKNOWN)))
    asked = remembered([fact.text for fact in facts[1:]], facts[0].question)
    return Exchange("memory unknown", (user(asked), assistant(replies.UNKNOWN)))
