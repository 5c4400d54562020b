"""Everything the assistant may say, word for word."""

import json
from collections.abc import Sequence

WHO = (
    "I am chatmesh's small demo model: I call tools, do sums, tell the time and the weather, "
    "and remember facts."
)
FALLBACK = f"{WHO} For more, plug in a bigger model: make up MODEL=<directory or hub id>."
HELLO = "Hello! How can I help you?"
MORNING = "Good morning! How can I help you?"
AFTERNOON = "Good afternoon! How can I help you?"
EVENING = "Good evening! How can I help you?"
NIGHT = "Good night!"
HOW_ARE_YOU = "I am doing well, thank you! How can I help you?"
THANKS = "You're welcome!"
GOODBYE = "Goodbye!"
ALL_RIGHT = "All right. What else can I do for you?"
REFUSAL = "I'm sorry, but I can't help with that."
SELF_HARM = (
    "I'm sorry that you are going through this. Please talk to someone you trust, "
    "or call a crisis line or your local emergency number now. You are not alone."
)
UNKNOWN = 'I don\'t know that yet. Tell me with "remember that ...", and I will keep it.'
STATEMENT = 'Thanks for telling me. Say "remember that ..." if I should keep it.'
DONE = "Done."
NOTHING_FOUND = "Nothing was found."


def met(name: str) -> str:
    return f"Nice to meet you, {name}!"


def missing(name: str) -> str:
    """Asks for a parameter that a tool needs and the request did not give."""
    return f"Please tell me the {name}."


def told(facts: Sequence[str]) -> str:
    return ended(f"You told me: {'; '.join(facts)}")


def failed(sentence: str) -> str:
    return ended(f"That did not work: {sentence}")


def ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def described(fields: dict[str, object]) -> str:
    """A flat JSON object as one sentence."""
    parts = [f"the {key.replace('_', ' ')} is {plain(value)}" for key, value in fields.items()]
    text = ", ".join(parts)
    return ended(text[:1].upper() + text[1:])
