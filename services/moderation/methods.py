"""Recognizes plain questions for a way to die by their form, beside what the models learnt.

Whoever suffers speaks of the same things, but does not ask so: in "how do I kill myself" question
and deed stand side by side, in "how do I stop wanting to kill myself" they do not.
"""

from collections.abc import Sequence

import re2  # type: ignore[import-untyped]

from services.moderation.api import CATEGORIES
from services.moderation.ports import Scores

_INSTRUCTIONS = CATEGORIES.index("self-harm/instructions")
_SURE = 0.9

_ONESELF = r"(?:my|your|one|them|him|her)(?:self|selves)"
_LIFE = r"(?:my|your|one'?s|their)(?: own)? life"
_DEED = (
    rf"(?:(?:kill|hang|drown|shoot|poison|electrocute|suffocate|strangle|unalive|gas|off)"
    rf" {_ONESELF}"
    rf"|(?:end|take) {_LIFE}|commit suicide|slit (?:my|your) (?:wrists?|throat)|kms)\b"
)
_DOING = (
    rf"(?:(?:kill|hang|drown|shoot|poison|electrocut|suffocat|strangl|unaliv|gass)ing {_ONESELF}"
    rf"|(?:end|tak)ing {_LIFE}|committing suicide|suicide)\b"
)
_HOW = (
    r"how (?:to|(?:do|can|could|would|should|might|does) "
    r"(?:i|you|one|we|a person|someone|somebody))(?: \w+ly| best| just)?"
)
_PAINLESS = (
    r"(?:least|most|more|less)? ?(?:painless|painful|quick|fast|easy|sure|reliable|effective"
    r"|certain|lethal|deadly|foolproof|peaceful|messy)(?:er|est)?"
)
_WAY = r"(?:ways?|methods?|means|options?)"
_DRUG = (
    r"(?:pills?|tablets?|capsules?|mg|milligrams?|grams?|units|doses?|insulin|paracetamol|tylenol)"
)
_DEAD = (
    r"(?:(?:will |would |to |i |me )(?:kill (?:me|myself)|die\b|overdose|end my life"
    r"|(?:not|never) wake up))"
)
_ASKED = re2.compile(
    rf"(?i)\b(?:{_HOW} {_DEED}"
    rf"|(?:{_PAINLESS}|easiest|surest|fastest|best|good) {_WAY}(?: for me)? (?:to|of|for) "
    rf"(?:{_DEED}|{_DOING})"
    rf"|{_PAINLESS} {_WAY} (?:for me )?to die\b"
    rf"|how (?:many|much) [\w' -]{{0,30}}\b{_DRUG}\b[\w' ,-]{{0,40}}{_DEAD}"
    rf"|(?:tell|give|show|teach|explain|describe|list|rank|recommend)[\w ,]{{0,40}}\b"
    rf"(?:how to|{_WAY} to|instructions to|steps to) {_DEED}"
    rf"|(?:help|convince|persuade|encourage) me (?:to |that i should )?{_DEED}"
    rf"|noose (?:to|for|so)[\w ,]{{0,30}}\b(?:hang|neck|myself)"
    r")"
)

_FEW = r"[\w ,'-]{0,50}"
_WHAT = r"(?:how|what|which|where|ways?|tips|tricks|teach me|tell me|give me|help me|plan|excuses?)"
_THING = (
    rf"(?:{_DRUG}|rope|knot|gun|knife|blade|razor|gas|poison|bleach|overdose|drugs?|vein|artery|wrists?"
    r"|height|high|metres|meters|floors|train|bridge|building|helium|monoxide|medication|mix|cut)"
)
_END = (
    r"(?:i (?:will )?(?:surely )?die|i'?m dead|i don'?t (?:wake up|survive)|never wake up"
    r"|not wake up|to die\b|bleed (?:out|to death)|be dead|to (?:kill|hang) myself|end my life)"
)
_HIDDEN = (
    r"(?:my cuts|cuts on|cutting|self-?harm\w*|purging|vomiting|starving|not eating|razors?"
    r"|blades?)"
)
# Less plain questions: these are only heard where no word of help stands beside them.
_LESS_PLAINLY_ASKED = re2.compile(
    rf"(?i)\b(?:{_WHAT}\b{_FEW}\b{_THING}\b{_FEW}\b{_END}"
    rf"|{_WHAT}\b{_FEW}\b(?:hide|conceal|keep|cover)\b{_FEW}\b{_HIDDEN}"
    rf"|(?:how|ways|tips|tricks|teach me)\b{_FEW}\b(?:purge|make myself (?:vomit|throw up|sick)"
    r"|throw up (?:after|my|so)|starve myself|stop eating|go without food)"
    r"|pro[ -]?(?:ana|mia) (?:tips|tricks|coach|diet|rules|guide)"
    r"|(?:make|get|drive|push|talk|convince|persuade|bully) (?:\w+ ){1,3}(?:in)?to "
    r"(?:commit )?(?:suicide|(?:kill|hang|hurt|cut) (?:herself|himself|themsel\w+)"
    r"|(?:take|end) (?:her|his|their)(?: own)? life))"
)
_HELP = re2.compile(
    r"(?i)\b(?:stop|quit|recover\w*|prevent\w*|instead|hotline|avoid|treat\w*|antidote|afraid|safe\w*"
    r"|don'?t want|help (?:him|her|them|someone|somebody|a |my )|first aid"
    r"|(?:should|do) (?:i|we) do"
    r"|(?:say|said|says|thinks?|wants|wanted|tried|threatens?) )"
)


def mark_methods(windows: Sequence[str], scores: Scores) -> None:
    """Raises the score of `self-harm/instructions` where a window asks so."""
    for row, window in enumerate(windows):
        if _asks(" ".join(window.split())):
            scores[row, _INSTRUCTIONS] = max(scores[row, _INSTRUCTIONS], _SURE)


def _asks(window: str) -> bool:
    if _ASKED.search(window):
        return True
    return bool(_LESS_PLAINLY_ASKED.search(window)) and not _HELP.search(window)
