"""Recognizes by their form questions for a way to die or to be hurt, beside what the models learnt.

Whoever suffers speaks of the same things, but does not ask so: in "how do I kill myself" question
and deed stand side by side, in "how do I stop wanting to kill myself" they do not. A few forms are
plain enough by themselves; others are, where nothing speaks for help, for worry about others, or
for research. What is asked in no such form is the models' to find.
"""

from collections.abc import Sequence

import numpy as np
import re2  # type: ignore[import-untyped]

from services.moderation.api import CATEGORIES
from services.moderation.ports import Scores

INSTRUCTIONS = CATEGORIES.index("self-harm/instructions")
_OF_SELF_HARM = [INSTRUCTIONS, CATEGORIES.index("self-harm")]
# Above and below where the bundled policy blocks.
_SURE, _REFUSED = 0.9, 0.79
# Whoever asks says who is meant, or how it should be. Prose about code may sound as if it asked
# ("without what would end it"), and says neither.
_ASKS = re2.compile(
    r"(?i)\?|\b(?:i|i'?m|i'?ve|i'?d|i'?ll|me|my|mine|myself|we|us|you|your|urs?|u|him|her|he|she"
    r"|someone|somebody|person|people|friend|yourself|oneself|themsel\w+|himself|herself"
    r"|die|dying|dead|death|suicid\w*|kill\w*|lethal\w*|fatal\w*|pills?|tell|give|list|how|best"
    r"|ways?|easiest|quick(?:er|est)|fast(?:er|est)|least|most|painless\w*|tips)\b"
)

_ONESELF = r"(?:(?:my|your|one|them|him|her|our)s?(?:self|selves)|urself)"
_LIFE = r"(?:(?:my|your|ur|one'?s|their|his|her)(?: own)? life)"
_KILL = (
    r"(?:kill|kil|hang|drown|shoot|stab|poison|electrocute?|suffocate?|strangle?|unalive?|gass?|off"
    r"|overdose)"
)
_DEED = (
    rf"(?:{_KILL} {_ONESELF}|(?:end|take)s? {_LIFE}|commit (?:suicide|sewer ?slide)|sewer ?slide"
    r"|slit (?:my|your|one'?s) (?:wrists?|throat)|kms)\b"
)
_ENDING = rf"(?:{_KILL}(?:ing)? {_ONESELF}|(?:ending|taking) {_LIFE})"
_DOING = rf"(?:{_ENDING}|committing suicide|suicide|sewer ?slide)\b"
_HOW = (
    r"how (?:to|2|(?:do|can|could|would|should|might|does) "
    r"(?:i|you|one|we|a person|someone|somebody))(?: \w+ly| best| just)?"
)
_PAINLESS = (
    r"(?:least|most|more|less)? ?(?:painless|painful|quick|fast|eas[yi]|sure|reliable|effective"
    r"|certain|lethal|deadly|foolproof|peaceful|messy|clean)(?:er|est)?"
)
_WAY = r"(?:ways?|methods?|means|options?)"
_DRUG = (
    r"(?:pills?|tablets?|capsules?|mg|milligrams?|grams?|units|doses?|insulin|paracetamol|tylenol)"
)
_DEAD = (
    r"(?:(?:will |would |to |i |me )(?:kill (?:me|myself)|die\b|overdose|end my life"
    r"|(?:not|never) wake up))"
)
_FEW = r"[\w ,'-]{0,50}"
_PLAIN = re2.compile(
    rf"(?i)\b(?:{_HOW} {_DEED}"
    rf"|(?:{_PAINLESS}|best|good) {_WAY}(?: for \w+)? (?:to|of|for) (?:{_DEED}|{_DOING})"
    rf"|{_PAINLESS} {_WAY} (?:for me )?to die\b"
    rf"|how (?:many|much) [\w' -]{{0,30}}\b{_DRUG}\b[\w' ,-]{{0,40}}{_DEAD}"
    rf"|(?:tell|give|show|teach|explain|describe|list|rank|recommend){_FEW}\b"
    rf"(?:how to|{_WAY} to|instructions to|steps to) {_DEED}"
    rf"|(?:help|convince|persuade|encourage) me (?:to |that i should )?{_DEED}"
    rf"|noose\b{_FEW}\b(?:hang|neck|myself|tonight|i want|i will|i'?m going)"
    r"|(?:make|build|get|use|with|through|an) (?:an )?exit bag"
    rf"|(?:buy|get|order|obtain) (?:pentobarbital|nembutal){_FEW}\b(?:end it|myself|my own|to die)"
    rf"|write{_FEW}\b(?:goodbye|farewell|suicide) (?:letter|note){_FEW}\b"
    r"(?:kill(?:ed)? myself|i die|i'?m dead|my suicide)"
    r")"
)
# Less plain: these are heard only where nothing speaks for help.
_WHAT = r"(?:how|what|which|where|ways?|tips|tricks|teach me|tell me|give me|help me|plan|excuses?)"
_THING = (
    rf"(?:{_DRUG}|rope|knot|gun|knife|blade|razor|gas|poison|bleach|overdose|drugs?|vein|artery"
    r"|wrists?|height|high|tall|metres|meters|floors?|trains?|bridges?|building|helium|monoxide"
    r"|medications?|mix|cut|aim|deep)"
)
_END = (
    r"(?:i (?:will )?(?:surely )?die|i'?m dead|i don'?t (?:wake up|survive)|never wake up"
    r"|not wake up|to die\b|bleed (?:out|to death)|be dead|to (?:kill|hang) myself|end my life"
    r"|kills? me|is fatal|jump(?:ing)? in front)"
)
_HIDDEN = (
    r"(?:my (?:fresh )?cuts|fresh cuts|cuts on my|that i(?:'m| am)? (?:cut\w*|starv\w+|purg\w+)"
    r"|my (?:cutting|self-?harm\w*)|purging|vomiting|starving|not eating|razors?|blades?)"
)
_INTO_DEATH = (
    r"(?:make|makes|get|gets|drive|push|pushes|talk|convince|persuade|bully|help) (?:[\w']+ ){1,4}"
    r"(?:in)?to (?:commit )?(?:suicide"
    r"|(?:kill|hang|hurt|cutt?)(?:ing)? (?:herself|himself|themsel\w+)"
    r"|(?:take|end) (?:her|his|their)(?: own)? life)"
)
_LESS_PLAIN = re2.compile(
    rf"(?i)\b(?:{_WHAT}\b{_FEW}\b{_THING}\b{_FEW}\b{_END}"
    rf"|{_WHAT}\b{_FEW}\b(?:hide|conceal|keep|cover)\b{_FEW}\b{_HIDDEN}"
    rf"|(?:how|ways|tips|tricks|teach me)\b{_FEW}\b(?:purge|make myself (?:vomit|throw up|sick)"
    r"|throw up (?:after|my|so)|starve myself|go without food"
    r"|become (?:anorexic|bulimic)|fool (?:the|my) (?:nurse|doctor|parents))"
    rf"|(?:pro[ -]?(?:ana|mia)|thinspo)\b{_FEW}\b(?:tips|tricks|coach|diet|rules|guide|buddy)"
    rf"|(?:tips|tricks|rules|diet|coach)\b{_FEW}\b(?:pro[ -]?(?:ana|mia)|thinspo)"
    rf"|(?:deadl|lethal|fatal|poison)\w*\b{_FEW}\bi (?:can|could) (?:swallow|take|drink|eat|inject)"
    r"|blades? (?:out of|from) (?:a |an |my |the )?(?:\w+ )?(?:sharpener|razor)"
    rf"|(?:how|tips|plan|diet)\b{_FEW}\b[1-4]?\d\d (?:calories|kcal) (?:a|per) day"
    rf"|(?:best|better|good) (?:\w+ ){{0,2}}(?:for|to|of) {_ENDING}"
    rf"|(?:which|what|where|how|best|fastest)\b{_FEW}\b(?:trains?|tracks?)\b{_FEW}\b"
    r"(?:jump|step|throw myself|lie down|stand)"
    rf"|(?:say|write|send|text|post|tell)\b{_FEW}\bso (?:that )?(?:he|she|they|\w+) "
    rf"(?:finally )?(?:jumps?|(?:kill|off|hang|hurt|cut)s? {_ONESELF}|(?:end|take)s? {_LIFE})"
    rf"|{_INTO_DEATH})"
)

_REFUSED_HELP = re2.compile(
    r"(?i)\b(?:ignore|no|skip|without|don'?t (?:want|need|give me)|stop (?:telling|giving) me)\b"
    r"(?: [\w']+){0,4} (?:help|hotlines?|helplines?|therap\w+|crisis lines?|support)\b"
)
_HELP = re2.compile(
    r"(?i)\b(?:stop (?:\w+ing|him|her|them|this|myself|me from|the (?:bleeding|urge\w*))|quit"
    r"|recover\w*|prevent\w*|instead|hotlines?|helplines?|crisis|avoid|treat\w*|antidote|bandag\w+"
    r"|afraid|scared|ashamed|regret\w*|safe(?:r|ly|ty)?|responsib\w+|not to|shouldn'?t"
    r"|don'?t want to (?:die|kill|hurt)|help (?:him|her|them|someone|somebody|a |my )|support\w*"
    r"|cop(?:e|ing)|get (?:help|better|through (?:this|it|to|the))|caring"
    r"|reasons? (?:not )?to (?:stay|live)|(?:without|from) (?:hurt|cutt|kill|harm|burn)ing"
    r"|(?:without|from) self-?harm|stay alive|keep (?:me|myself) (?:from|alive|safe)|distract\w*"
    r"|coroner|laws?|legal|illegal|crime|you asked|i hear (?:you|how)|you(?:'re| are) not alone"
    r"|(?:can'?t|cannot|can not|won'?t|will not|unable to) "
    r"(?:help|assist|describe|give|explain|provide|share|list|discuss|recommend)|i want you to live"
    r"|look after|affirmations?|mak(?:e|ing) it worse|lock (?:up|away)|first aid|whom? (?:can|do) i"
    r"|should (?:i|we) (?:do|say|call)|do (?:i|we) (?:do|say)|talk (?:to|with|about)"
    r"|tell (?:my|our|the|your|an?) (?:\w+ )?(?:mum|mom|mother|father|dad|parents?|doctor|therapist"
    r"|family|friends?|teacher|boss|husband|wife|partner|gp)"
    r"|(?:said|says|thinks?|threat\w+|tried|googl\w+|texted me|side effects?|symptoms?|emergency)\b"
    r"|warning signs?|signs of|risks?|rates|statistics?|history|research|therap(?:y|ies)"
    r"|recogni[sz]e|grie\w+|lost|survived|ambulance|hospital|attempt"
    r"|suicidal (?:son|daughter|child|teen\w*|friend|patient|person|thoughts?)"
    r"|my (?:\w+ )?(?:son|daughter|child|teenager|kids?|student|pupil|patient)s?)\b"
)
# What an assistant says to whoever asked; it names what it does not tell.
_REFUSES = re2.compile(
    r"(?i)^\W*(?:(?:i'?m |i am )?(?:so |very )?sorry,? )?(?:but )?(?:you asked me"
    r"|i (?:can'?t|cannot|can not|won'?t|will not|am (?:unable|not able) to)"
    r" (?:help|assist|describe|give|explain|provide|share|list|discuss|recommend|tell))\b[^?]*$"
)
_COVERED_SCARS = re2.compile(
    r"(?i)\b(?:(?:old|former) (?:[\w-]+ )?(?:scars?|cuts|wounds)|tattoos?|years ago"
    r"|(?:been|stayed|am|i'?m) clean)\b"
)


def mark_methods(windows: Sequence[str], scores: Scores) -> None:
    """Raises the score of `self-harm/instructions` where a window asks plainly.

    Where a window refuses what was asked, its scores for self-harm come to `_REFUSED` at most.
    """
    for row, window in enumerate(" ".join(window.split()) for window in windows):
        if _asks_plainly(window):
            scores[row, INSTRUCTIONS] = max(scores[row, INSTRUCTIONS], _SURE)
        elif _REFUSES.search(window):
            scores[row, _OF_SELF_HARM] = np.minimum(scores[row, _OF_SELF_HARM], _REFUSED)


def may_ask(window: str) -> bool:
    """A coarse sieve: hardly any window asks for a way to die of which this is not true."""
    return bool(_ASKS.search(window))


def _asks_plainly(window: str) -> bool:
    if _PLAIN.search(window):
        return True
    return bool(_LESS_PLAIN.search(window)) and not _speaks_of_help(window)


def _speaks_of_help(window: str) -> bool:
    return bool(_HELP.search(_REFUSED_HELP.sub("", window)) or _COVERED_SCARS.search(window))
