"""What tools return, and the answer that is right for it."""

import json
import random

from services.inference.demo_model.generator import names, replies
from services.inference.demo_model.generator.lexicon import Lexicon
from services.inference.demo_model.generator.scene import Scene

Answered = tuple[str, str]
"""A tool's text, and what the assistant says after it."""

_SKIES = (
    "clear sky|mainly clear|partly cloudy|overcast|fog|light drizzle|light rain|rain|heavy rain"
    "|light snow|snow|rain showers|thunderstorm|freezing rain|snow showers|moderate rain|drizzle"
    "|sunny|cloudy"
).split("|")
_KEYS = """
status id name title price count date total url message temperature unit city code state
""".split()
_ERRORS = (
    "the service did not answer in time",
    "no connection to the network",
    "not found",
    "permission denied",
    "the tool took too long",
    "rate limit reached, try again later",
    "unknown time zone",
    "division by zero",
    "this expression cannot be evaluated",
    "no place of that name was found",
    "the weather service cannot be reached",
    "invalid arguments",
    "the call was cancelled",
    "the result is too large",
    "the memory cannot be reached",
    "the memory is full; something must be forgotten first",
    "the location must be the name of a place",
    "this expression cannot be evaluated: it ends too early",
    "the weather service cannot answer now",
    "the argument is missing",
)
_ERRORS_ABOUT = (
    'no place called "{v}" was found',
    'unknown time zone "{v}"',
    'unknown time zone "{v}"; close to it is Europe/{w}',
    'this expression cannot be evaluated: unknown name "{v}"',
    'the argument "{w}" is empty',
    'the argument "{w}" must be a number',
    'the argument "{w}" is missing',
    "{v} does not exist",
)


def calculator_result(scene: Scene) -> Answered:
    if scene.chance(0.12):
        return error_result(scene)
    rng = scene.rng
    number = rng.choice(
        [
            str(rng.randint(-999, 10 ** rng.randint(1, 9))),
            f"{rng.randint(-99, 9999)}.{rng.randint(1, 10 ** rng.randint(1, 12))}",
            f"{rng.randint(1, 9)}.{rng.randint(1, 9999)}e+{rng.randint(16, 99)}",
        ]
    )
    return number, f"The result is {number}."


def clock_result(scene: Scene, zone: str | None) -> Answered:
    if scene.chance(0.08):
        return error_result(scene)
    rng = scene.rng
    date = f"{rng.randint(2024, 2035)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    time = f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}"
    place = rng.choice([zone or "UTC", zone or "UTC", "CET", "EST", "JST", "PDT", "+03"])
    text = f"{rng.choice(names.DAYS)} {date} {time} {place}"
    return text, f"It is {text}."


def weather_result(scene: Scene, place: str) -> Answered:
    if scene.chance(0.15):
        return error_result(scene)
    rng = scene.rng
    found = place if rng.random() < 0.3 else place.title()
    if "," not in found:
        found += f", {rng.choice(names.COUNTRIES)}"
    text = f"{found}: {rng.randint(-25, 42)}.{rng.randint(0, 9)} °C, {rng.choice(_SKIES)}"
    text += f", wind {rng.randint(0, 90)} km/h"
    return text, f"The weather in {text}."


def error_result(scene: Scene) -> Answered:
    sentence = scene.rng.choice(_ERRORS)
    if scene.chance(0.3):
        sentence = scene.lexicon.words(scene.rng, 2, 7)
    elif scene.chance(0.5):
        about = scene.rng.choice(_ERRORS_ABOUT)
        rng, lexicon = scene.rng, scene.lexicon
        sentence = about.format(v=lexicon.text(rng), w=lexicon.word(rng))
    if scene.chance(0.3):
        sentence = replies.ended(sentence[:1].upper() + sentence[1:])
    return f"error: {sentence}", replies.failed(sentence)


def stranger_result(scene: Scene) -> Answered:
    """Anything that a tool nobody knows might return."""
    if scene.chance(0.1):
        return error_result(scene)
    makers = (_fields, _items, _scalar, _line, _prose, _nested, _nothing, _error_field)
    return scene.rng.choices(makers, (38, 8, 10, 14, 16, 6, 4, 4))[0](scene.rng, scene.lexicon)


def _value(rng: random.Random, lexicon: Lexicon) -> object:
    return rng.choices(
        (
            lexicon.text(rng),
            rng.randint(-10, 10 ** rng.randint(1, 6)),
            round(rng.uniform(-50, 999), rng.randint(1, 3)),
            rng.choice([True, False, None]),
        ),
        (60, 20, 10, 10),
    )[0]


def _key(rng: random.Random, lexicon: Lexicon) -> str:
    word = rng.choice(_KEYS) if rng.random() < 0.35 else lexicon.word(rng)
    return f"{word}_{lexicon.word(rng)}" if rng.random() < 0.25 else word


def _json(rng: random.Random, value: object) -> str:
    shape = rng.random()
    if shape < 0.6:
        return json.dumps(value, ensure_ascii=False)
    if shape < 0.85:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(value, ensure_ascii=False, indent=2)


def _fields(rng: random.Random, lexicon: Lexicon) -> Answered:
    count = rng.choices((1, 2, 3, 4, 5, 6), (20, 30, 25, 12, 8, 5))[0]
    fields = {_key(rng, lexicon): _value(rng, lexicon) for _ in range(count)}
    return _json(rng, fields), replies.described(fields)


def _items(rng: random.Random, lexicon: Lexicon) -> Answered:
    items = [lexicon.short_text(rng) for _ in range(rng.randint(1, 6))]
    if rng.random() < 0.3:
        return _json(rng, found := [rng.randint(0, 999) for _ in items]), _found(found)
    return _json(rng, items), _found(items)


def _found(items: list[str] | list[int]) -> str:
    return replies.ended(f"Here is what I found: {', '.join(map(str, items))}")


def _scalar(rng: random.Random, lexicon: Lexicon) -> Answered:
    value = _value(rng, lexicon)
    return json.dumps(value, ensure_ascii=False), _resulting(replies.plain(value))


def _line(rng: random.Random, lexicon: Lexicon) -> Answered:
    text = lexicon.text(rng)
    return text, _resulting(text)


def _resulting(text: str) -> str:
    return f"The result is {text}." if text != "null" else replies.DONE


def _prose(rng: random.Random, lexicon: Lexicon) -> Answered:
    """Whole sentences are passed on as they are."""
    count = rng.choices((1, 2, 3, 6), (60, 20, 12, 8))[0]
    sentences = []
    for _ in range(count):
        words = f"{lexicon.words(rng, 2, 8)} {lexicon.text(rng)}"
        sentences.append(words[:1].upper() + words[1:] + rng.choice(["." * 5, "!", "?"])[:1])
    text = rng.choice([" ", " ", "\n"]).join(sentences)
    return text, text


def _nested(rng: random.Random, lexicon: Lexicon) -> Answered:
    inner = {lexicon.word(rng): lexicon.short_text(rng) for _ in range(rng.randint(1, 2))}
    value = rng.choice([{lexicon.word(rng): inner}, [inner], {lexicon.word(rng): [inner, inner]}])
    text = json.dumps(value, ensure_ascii=False, separators=rng.choice([None, (",", ":")]))
    return text, f"Here is the result: {text}"


def _nothing(rng: random.Random, _: Lexicon) -> Answered:
    text = rng.choice(["", "null", "{}", "[]", "ok", "OK", "done", "success"])
    if text == "[]":
        return text, replies.NOTHING_FOUND
    return text, replies.DONE


def _error_field(rng: random.Random, lexicon: Lexicon) -> Answered:
    sentence = rng.choice(_ERRORS) if rng.random() < 0.5 else lexicon.words(rng, 2, 7)
    return _json(rng, {"error": sentence}), replies.failed(sentence)
