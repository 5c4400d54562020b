"""Whether a fact is a preference, which the model is always shown."""

import re

from services.memory.api import Kind
from services.memory.words import folded

_POLITE = (
    r"(?:(?:please|remember|note|keep in mind|from now on|in future|in the future|going forward"
    r"|whenever possible|by default)[,:]?\s+(?:that\s+|to\s+)?)*"
)
_USER = r"(?:i|(?:the )?user)"
_ASKS = rf"{_USER} (?:would like|wants?|likes?|needs?|expects?|asks?|asked)"
_YOU = (
    rf"(?:{_ASKS} (?:for )?you to |{_ASKS} to (?=be (?:called|addressed))"
    r"|you (?:should|must|shall|need to|have to|can) )?"
)
_REPLY = r"(?:answers?|reply|replies|responses?|explanations?|messages?)"
_DO = (
    r"answer|reply|respond|write|speak|talk|explain|format|summari[sz]e|address|translate"
    r"|be (?:called|addressed)|(?:call|address) me"
)
_USE = (
    r"metric|imperial|celsius|fahrenheit|kilomet|miles|bullet|markdown|simple|plain|emojis?"
    r"|formal|informal|british|american|short|24|12"
)
_OMIT = (
    r"(?:use|add|call|mention|include|give|write|answer|show|apologi[sz])(?:e|ing)?|reply|explain"
    r"|emojis?|bullet|markdown|jargon|disclaimers?|small talk"
)
_BE = r"brief|concise|formal|informal|casual|direct|honest|friendly|polite|funny"
_STANDING = re.compile(
    rf"{_POLITE}{_YOU}(?:"
    rf"{_USER} (?:would |really |strongly |generally |usually |always )*prefers?\b"
    rf"|(?:{_USER} )?(?:always|never)\b"
    rf"|(?:{_DO})\b"
    rf"|(?:keep|make) (?:your |the |all )?(?:{_REPLY}|it|things)\b"
    rf"|(?:give (?:me )?|{_USER} (?:wants?|likes?|would like) )(?:[\w-]+ ){{0,2}}{_REPLY}\b"
    rf"|(?:do not|avoid|stop|skip|no more|no) (?:{_OMIT})\b"
    rf"|use (?:only |the )?(?:{_USE})"
    rf"|be (?:more |less )?(?:{_BE})"
    r")",
    re.I,
)


def kind_of(text: str) -> Kind:
    return Kind.PREFERENCE if _STANDING.match(folded(text)) else Kind.FACT
