"""Tools: the mesh's own, and invented ones that no one has seen before."""

import random
import re
from dataclasses import dataclass, replace

from services.inference.demo_model.generator.lexicon import Lexicon

_WORD_ENDS = re.compile(r"[_\-.\s]+|(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Parameter:
    """`kind` is a JSON schema type, or `enum` (of strings) or `strings` (an array of them)."""

    name: str
    kind: str = "string"
    required: bool = True
    description: str = ""
    choices: tuple[str, ...] = ()

    @property
    def spoken(self) -> str:
        return spoken(self.name)

    def schema(self) -> dict[str, object]:
        schema: dict[str, object] = {"type": self.kind}
        if self.kind == "enum":
            schema = {"type": "string", "enum": list(self.choices)}
        if self.kind == "strings":
            schema = {"type": "array", "items": {"type": "string"}}
        if self.description:
            schema["description"] = self.description
        return schema


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str
    parameters: tuple[Parameter, ...]

    @property
    def spoken(self) -> str:
        return spoken(self.name)

    @property
    def required(self) -> tuple[Parameter, ...]:
        return tuple(parameter for parameter in self.parameters if parameter.required)

    def parameters_schema(self) -> dict[str, object]:
        return {
            "type": "object",
            "properties": {p.name: p.schema() for p in self.parameters},
            "required": [p.name for p in self.required],
        }

    def function(self) -> dict[str, object]:
        """The tool as OpenAI's `tools` carry it."""
        described = {"description": self.description} if self.description else {}
        schema = {"parameters": self.parameters_schema()}
        return {"type": "function", "function": {"name": self.name} | described | schema}


def spoken(name: str) -> str:
    return " ".join(word.lower() for word in _WORD_ENDS.split(name) if word)


# The texts of the tool-runner's registry; training varies them, so that nothing hangs on them.
BUILT_IN = (
    Tool("calculator", "Evaluate an arithmetic expression.", (Parameter("expression"),)),
    Tool(
        "clock",
        "Tell the current date and time.",
        (
            Parameter(
                "timezone",
                required=False,
                description="IANA name such as Europe/Paris; UTC when left out",
            ),
        ),
    ),
    Tool("weather", "Current weather for a place.", (Parameter("location"),)),
    Tool(
        "remember",
        "Keep a fact about the user for later conversations.",
        (Parameter("fact"),),
    ),
    Tool(
        "forget",
        "Forget what is remembered about the user that matches.",
        (Parameter("fact"),),
    ),
)
BUILT_IN_NAMES = frozenset(tool.name for tool in BUILT_IN)

_PARAPHRASES = {
    "calculator": (
        "Calculate the value of an expression.",
        "Work out sums, products and other arithmetic.",
        "A calculator for arithmetic expressions.",
        "",
    ),
    "clock": (
        "Current date and time in a time zone.",
        "Get the time and the date.",
        "A clock.",
        "",
    ),
    "weather": (
        "Get the weather at a location right now.",
        "Tell how the weather is in a city.",
        "Look up current temperature, sky and wind.",
        "",
    ),
    "remember": ("Save a fact about the user.", "Store something the user wants kept.", ""),
    "forget": ("Delete saved facts about the user.", "Erase remembered facts that match.", ""),
}


def paraphrased(rng: random.Random, tool: Tool) -> Tool:
    """The same built-in tool in other words."""
    parameters = tuple(
        replace(parameter, description=rng.choice(["", parameter.description]))
        for parameter in tool.parameters
    )
    return replace(tool, description=rng.choice(_PARAPHRASES[tool.name]), parameters=parameters)


_VERBS = """
get set list create delete update find search send add remove open close start stop check show
read write book order buy sell play pause move copy rename share post fetch load save run build
deploy scan print track cancel schedule assign invite block merge split sort rate tag pay refund
ship translate convert compare count measure lock unlock reset turn make call
""".split()
_NOUNS = """
id name title user email date time city message text query amount price count limit status type
color size level path file url key value code language unit format priority category topic note
subject body recipient sender order item product account room device number start end from to
address phone owner label tags mode reason
""".split()
_ENUMS = (
    ("celsius", "fahrenheit"),
    ("low", "medium", "high"),
    ("asc", "desc"),
    ("small", "medium", "large"),
    ("open", "closed", "pending"),
    ("on", "off"),
    ("red", "green", "blue"),
    ("json", "csv", "xml"),
    ("day", "week", "month", "year"),
    ("USD", "EUR", "GBP"),
    ("en", "de", "fr", "es"),
)
_FILLERS = (
    "{v} a {n}.",
    "{v} the {n}",
    "{v} {n} for the user.",
    "{v} one {n} by its {x}.",
    "{n} {v}",
)
_LONG_FILLERS = (
    "{v} the {n} that the {x} {y}. Use it when the user asks about {n}.",
    "{v} a {n} with {x} and {y}, and return the {x}.",
    "Use this tool to {v} the {n} of a {x}. It needs no {y}.",
)
_KINDS = ("string", "integer", "number", "boolean", "enum", "strings")
_KIND_WEIGHTS = (58, 14, 6, 7, 10, 5)


class Inventor:
    """Makes up tools whose words are a lexicon's, so that held-out words give unseen tools."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon

    def tools(self, rng: random.Random, count: int) -> list[Tool]:
        """Tools of which no two share a word of their names."""
        made: list[Tool] = []
        words: set[str] = set(BUILT_IN_NAMES)
        while len(made) < count:
            tool = self.tool(rng)
            own = set(tool.spoken.split()) - set(_VERBS)
            if own and not own & words:
                made.append(tool)
                words |= own
        return made

    def tool(self, rng: random.Random) -> Tool:
        verb, noun = self._verb(rng), self._lexicon.word(rng)
        words = rng.choice(
            [[verb, noun], [verb, noun], [verb, noun, self._lexicon.word(rng)], [noun]]
        )
        name = _joined(rng, words)
        if rng.random() < 0.06:
            name = f"{self._lexicon.word(rng)}{rng.choice(['__', '.', '-', '_'])}{name}"
        parameters = self._parameters(rng, set(words))
        return Tool(name, self._description(rng, verb, words), parameters)

    def _verb(self, rng: random.Random) -> str:
        return rng.choice(_VERBS) if rng.random() < 0.5 else self._lexicon.word(rng)

    def _description(self, rng: random.Random, verb: str, words: list[str]) -> str:
        shape = rng.random()
        if shape < 0.15:
            return ""
        if shape < 0.3:
            return self._lexicon.words(rng, 2, 7).capitalize() + rng.choice([".", ""])
        filler = rng.choice(_FILLERS if shape < 0.85 else _LONG_FILLERS)
        noun = " ".join(words[1:] or words)
        text = filler.format(v=verb, n=noun, x=self._lexicon.word(rng), y=self._lexicon.word(rng))
        return text[:1].upper() + text[1:]

    def _parameters(self, rng: random.Random, taken: set[str]) -> tuple[Parameter, ...]:
        count = rng.choices((0, 1, 2, 3, 4, 5), (5, 37, 28, 17, 9, 4))[0]
        made: list[Parameter] = []
        while len(made) < count:
            words = [self._parameter_word(rng)]
            if rng.random() < 0.3:
                words.append(self._parameter_word(rng))
            if taken & set(words):
                continue
            taken |= set(words)
            made.append(self._parameter(rng, _joined(rng, words)))
        return tuple(made)

    def _parameter_word(self, rng: random.Random) -> str:
        return rng.choice(_NOUNS) if rng.random() < 0.4 else self._lexicon.word(rng)

    def _parameter(self, rng: random.Random, name: str) -> Parameter:
        kind = rng.choices(_KINDS, _KIND_WEIGHTS)[0]
        choices: tuple[str, ...] = ()
        if kind == "enum":
            own = tuple({self._lexicon.word(rng) for _ in range(rng.randint(2, 4))})
            choices = rng.choice(_ENUMS) if rng.random() < 0.4 else tuple(sorted(own))
        description = self._parameter_description(rng, name) if rng.random() < 0.35 else ""
        return Parameter(name, kind, rng.random() < 0.65, description, choices)

    def _parameter_description(self, rng: random.Random, name: str) -> str:
        word = self._lexicon.word(rng)
        return rng.choice(
            [
                f"The {spoken(name)}",
                f"The {spoken(name)} of the {word}",
                f"{spoken(name).capitalize()} to {word}",
                self._lexicon.words(rng, 2, 5).capitalize(),
                f"The {word}, e.g. {self._lexicon.text(rng)}",
            ]
        )


def _joined(rng: random.Random, words: list[str]) -> str:
    shape = rng.random()
    if shape < 0.72:
        return "_".join(words)
    if shape < 0.9:
        return words[0] + "".join(word.capitalize() for word in words[1:])
    return "-".join(words) if shape < 0.96 else "".join(word.capitalize() for word in words)
