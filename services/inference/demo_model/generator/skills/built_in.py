"""Requests for the mesh's own calculator, clock and weather."""

from services.inference.demo_model.generator import names, replies
from services.inference.demo_model.generator.arithmetic import arithmetic
from services.inference.demo_model.generator.phrasebook import patterns
from services.inference.demo_model.generator.results import (
    calculator_result,
    clock_result,
    weather_result,
)
from services.inference.demo_model.generator.scene import (
    Exchange,
    Message,
    Scene,
    assistant,
    calls,
    result,
    user,
)

_WAYS = patterns("built_in")


def calculate(scene: Scene) -> Exchange | None:
    if not scene.offers("calculator", "add", "multiply"):
        return None
    asked, expression = arithmetic(scene)
    messages = [user(asked), calls(("calculator", {"expression": expression}))]
    return Exchange("calculator", (*messages, *_answered(*calculator_result(scene))))


def tell_weather(scene: Scene) -> Exchange | None:
    if not scene.offers("weather", "get_weather"):
        return None
    if scene.chance(0.07):
        return _weather_somewhere(scene)
    places = [_cased(scene, scene.lexicon.place(scene.rng)) for _ in range(2)]
    if scene.chance(0.08) and not any("," in place for place in places):
        return _weather_twice(scene, *places)
    asked = scene.say(_WAYS["weather"], place=places[0])
    messages = [user(asked), calls(("weather", {"location": places[0]}))]
    messages += _answered(*weather_result(scene, places[0]))
    if scene.chance(0.15) and len(messages) == 4:
        messages += [user(scene.say(_WAYS["follow ups"], place=places[1]))]
        messages += [calls(("weather", {"location": places[1]}))]
        messages += _answered(*weather_result(scene, places[1]))
    return Exchange("weather", tuple(messages))


def _weather_twice(scene: Scene, place: str, other: str) -> Exchange:
    asked = scene.say(_WAYS["weather twice"], place=place, other=other)
    called = calls(("weather", {"location": place}), ("weather", {"location": other}))
    found, told = zip(weather_result(scene, place), weather_result(scene, other), strict=True)
    answers = [result(found[0]), result(told[0]), assistant(f"{found[1]} {told[1]}")]
    return Exchange("weather", (user(asked), called, *answers))


def _weather_somewhere(scene: Scene) -> Exchange:
    """The place is missing; the model asks for it, and the user gives it."""
    place = _cased(scene, scene.lexicon.place(scene.rng))
    messages = [user(scene.say(_WAYS["weather nowhere"])), assistant(replies.missing("location"))]
    if scene.chance(0.6):
        messages += [user(scene.say("[|||in |for |it's |for ]{place}[|.|, please]", place=place))]
        messages += [calls(("weather", {"location": place}))]
        messages += _answered(*weather_result(scene, place))
    return Exchange("missing argument", tuple(messages))


def tell_time(scene: Scene) -> Exchange | None:
    if not scene.offers("clock", "get_time"):
        return None
    if scene.chance(0.3):
        return Exchange("clock", _timed(scene, scene.say(_WAYS["time here"]), None))
    place, zone = _zone(scene)
    messages = _timed(scene, scene.say(_WAYS["time"], place=place), zone)
    if scene.chance(0.15) and len(messages) == 4:
        place, zone = _zone(scene)
        messages += _timed(scene, scene.say(_WAYS["follow ups"], place=place), zone)
    return Exchange("clock", messages)


def _timed(scene: Scene, asked: str, zone: str | None) -> tuple[Message, ...]:
    arguments: dict[str, object] = {"timezone": zone} if zone else {}
    called = [user(asked), calls(("clock", arguments))]
    return (*called, *_answered(*clock_result(scene, zone)))


def _zone(scene: Scene) -> tuple[str, str]:
    city = scene.rng.choice(list(names.ZONES))
    if scene.chance(0.08):
        zone = scene.rng.choice([names.ZONES[city], names.ZONES[city], "UTC"])
        return zone, zone
    return _cased(scene, city), names.ZONES[city]


def _cased(scene: Scene, place: str) -> str:
    return place.lower() if scene.chance(0.4) else place


def _answered(text: str, answer: str) -> list[Message]:
    return [result(text), assistant(answer)]
