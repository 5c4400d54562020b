"""What the form of a question for a way to die says, beside what the models learnt.

Whoever suffers speaks of the same things, but does not ask so: in "how do I kill myself" question
and deed stand side by side, in "how do I stop wanting to kill myself" they do not. A form alone
does not decide: "my son googled how to kill himself" has it, too.
"""

import re2  # type: ignore[import-untyped]

# Whoever asks says who is meant, or how it should be. Prose about code may sound as if it asked
# ("without what would end it"), and says neither.
_ASKS = re2.compile(
    r"(?i)\?|\b(?:i|i'?m|i'?ve|i'?d|i'?ll|me|my|mine|myself|we|us|you|your|urs?|u|him|her|he|she"
    r"|someone|somebody|person|people|friend|yourself|oneself|themsel\w+|himself|herself"
    r"|die|dying|dead|death|suicid\w*|kill\w*|lethal\w*|fatal\w*|pills?|tell|give|list|how|best"
    r"|ways? \w+|easiest|quick(?:er|est)|fast(?:er|est)|least|most|painless\w*|tips)\b"
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
_INTO_DEATH = (
    r"(?:make|makes|get|gets|drive|push|pushes|talk|convince|persuade|bully) (?:[\w']+ ){1,4}"
    r"(?:in)?to (?:commit )?(?:suicide"
    r"|(?:kill|hang|hurt|cutt?)(?:ing)? (?:herself|himself|themsel\w+)"
    r"|(?:take|end) (?:her|his|their)(?: own)? life)"
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
    rf"|{_INTO_DEATH}"
    rf"|(?:buy|get|order|obtain) (?:pentobarbital|nembutal){_FEW}\b(?:end it|myself|my own|to die)"
    rf"|write{_FEW}\b(?:goodbye|farewell|suicide) (?:letter|note){_FEW}\b"
    r"(?:kill(?:ed)? myself|i die|i'?m dead|my suicide)"
    r")"
)
# What nobody makes for anything else.
_MEANS = re2.compile(r"(?i)\b(?:make|build|buy|use|through) (?:an )?exit bag\b")
# What an assistant says to whoever asked; it names what it does not tell.
_REFUSES = re2.compile(
    r"(?i)^\W*(?:(?:i'?m |i am )?(?:so |very )?sorry,? )?(?:but )?(?:you asked me"
    r"|i (?:can'?t|cannot|can not|won'?t|will not|am (?:unable|not able) to)"
    r" (?:help|assist|describe|give|explain|provide|share|list|discuss|recommend|tell))\b[^?]*$"
)


def may_ask(window: str) -> bool:
    """A coarse sieve: hardly any window asks for a way to die of which this is not true."""
    return bool(_ASKS.search(window))


def asks_plainly(window: str) -> bool:
    """Whether it has a form in which a way to die is asked for, if only by somebody it tells of."""
    return bool(_PLAIN.search(" ".join(window.split())))


def wants_means(window: str) -> bool:
    """Whether it is a question for what has no other use."""
    return bool(_MEANS.search(" ".join(window.split())))


def refuses(window: str) -> bool:
    return bool(_REFUSES.search(" ".join(window.split())))
