"""Recognizes by their form questions for a way to die or to be hurt, beside what the models learnt.

Whoever suffers speaks of the same things, but does not ask so: in "how do I kill myself" question
and deed stand side by side, in "how do I stop wanting to kill myself" they do not. A few forms are
plain enough by themselves. All others are evidence only: together with what the second opinion
makes of the words, and where nothing speaks for help, for worry about others, or for research.
"""

from collections.abc import Sequence

import numpy as np
import re2  # type: ignore[import-untyped]

from services.moderation.api import CATEGORIES
from services.moderation.ports import Scores

INSTRUCTIONS = CATEGORIES.index("self-harm/instructions")
_SURE = 0.9
# A margin of log(4) is a score of 0.8, where the bundled policy blocks.
_BLOCKS = np.log(4)
# What the second opinion must score for a window that asks, to have it blocked: where the window
# names suicide or self-harm, where it comes near to it, and where it does neither.
_NAMED, _NEAR, _UNNAMED = (np.log(score / (1 - score)) for score in (0.1, 0.13, 0.6))
# What it loses where a window speaks of help.
_FOR_HELP = -2.5

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
    rf"|(?:how|ways|tips|tricks|teach me)\b{_FEW}\b"
    r"(?:purge(?: (?:after|without|silent\w*|quiet\w*|in|every|so)|[,.?!]|$)"
    r"|make myself (?:vomit|throw up|sick)|throw up (?:after|my|so)|starve myself|go without food"
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
_ENDS = (
    rf"(?:{_DEED}|{_DOING}|(?:wants?|wanted|wish|plan|going|ready|trying|ways?|how|to) "
    r"(?:to )?(?:die|end (?:it|things|everything)|be (?:dead|gone)|stop (?:living|breathing))"
    rf"|dying|never wake up|(?:{_KILL})(?:ed|s)? {_ONESELF}|(?:ends?|takes?) {_LIFE})"
)
_BODY = r"(?:arms?|wrists?|thighs?|legs?|hands?|skin|stomach|hips?|ankles?|veins?)"
_CARERS = (
    r"(?:doctor|psychiatrist|therapist|nurses?|clinic|ward|hospital|assessment|questionnaire|hold"
    r"|suicide watch|mum|mom|mother|parents|family|wife|husband|roommate)"
)
_BY_FORM = (
    # to hurt oneself
    rf"(?:{_HOW}|(?:ways?|tips|ideas|best (?:way|place|thing)|something|what (?:can|do) i use) "
    r"(?:to|of|for)) (?:hurt|harm|cut|burn|bruise|injure|punish|scratch|starve|strangle|choke)"
    rf"(?:ing)? (?:{_ONESELF}|my {_BODY})",
    r"(?:where|how (?:deep|hard)|which (?:part|place|spot|way))(?: \w+){0,4} (?:i|one|you|to) "
    r"(?:cut|burn|slice)[\w ,]{0,40}\b(?:so|bleeds?|wrists?|myself|lethal|fatal|die|artery|over)",
    r"(?:burn|cut|wound|bruise|scar|injur)\w*[\w ,'-]{0,50}\b(?:looks?|seems?|pass) (?:like|as|for)"
    r" (?:an? )?(?:\w+ )?(?:accident|fall|burn|scratch)",
    r"(?:how|what|ways?|tips|teach me|tricks?|help me)\b[\w ,'-]{0,60}\b(?:stop eating "
    r"(?:altogether|completely|at all|anything|for good)|(?:fool|trick|cheat) the scales?"
    r"|(?:think|believe)s? (?:that )?i(?:'m|'ve| am| have)? (?:eat\w*|ate|had)"
    r"|bring (?:food|everything) (?:back )?up|faint from hunger)",
    r"(?:smuggle|sneak|get|bring|hide)\b[\w ,'-]{0,40}\b(?:blades?|razors?|sharp things?|pills"
    r"|tablets|rope)\b[\w ,'-]{0,40}\b(?:ward|clinic|hospital|past|search|admitted|cut|overdose)",
    # steps, lists and plans
    rf"(?:step[- ]by[- ]step|instructions|tutorial|guide|manual){_FEW}\b(?:{_DEED}|{_DOING}"
    r"|my (?:death|suicide)|to die\b)",
    rf"(?:rank|list|compare|sort|score|table|ranking|comparison){_FEW}\b(?:(?:ways?|methods?|means)"
    rf"{_FEW}\b(?:{_DEED}|{_DOING}|die\b|kill {_ONESELF})|suicide (?:methods?|techniques?|ways))",
    r"(?:plan|schedule|organi[sz]e|arrange|checklist for|timetable for) (?:\w+ ){0,3}"
    r"(?:my (?:own )?(?:suicide|death)|a suicide|killing myself|ending my life)",
    rf"(?:make|write|give|draft|create){_FEW}\bsuicide plan (?:for me|with)\b",
    # how much, how long, how high; what is surer; where to get it
    rf"(?:(?:lethal|fatal|deadly)|{_DRUG}{_FEW}\benough){_FEW}\b(?:for me\b|for myself|it'?s for me"
    r"|my (?:size|weight)|(?:girl|boy|man|woman|adult|teenager|person) who wants)",
    rf"how (?:many|much|long|deep|high|far|hard){_FEW}\b(?:to|will|until|before|till|so) "
    r"(?:i |it |they |that i )?(?:(?:be|is|am) (?:enough|fatal|deadly|lethal|dead|over|too late)"
    rf"|stop my (?:heart|breath\w*)|(?:end|finish) me|kill (?:me|{_ONESELF})|{_DEED})",
    rf"(?:what|which|how){_FEW}\b(?:gas|helium|nitrogen|monoxide|exhaust|fumes|garage|chemicals?)\b"
    rf"{_FEW}\b(?:die|kills? (?:you|{_ONESELF})|exit|asleep forever)\b",
    r"(?:which|where|what|how (?:high|tall|do i))\b[\w ,'-]{0,50}\b(?:bridge|cliff|roof|floor"
    r"|building|balcony|tower|height|fence)\w*\b[\w ,'-]{0,50}\b"
    r"(?:to jump|i (?:can )?jump)\b",
    rf"(?:where|how|which){_FEW}\b(?:buy|get|order|obtain|sells?|find){_FEW}\b(?:to {_DEED}"
    r"|use it on my(?:self| own)|end (?:my life|it|this)|shoot myself|i want to die|to die\b)",
    rf"(?:which|what(?:'s| is)?|is)\b{_FEW}\b(?:quicker|surer|deadlier|faster|less painful"
    rf"|hurts? less|more (?:certain|reliable|lethal|deadly|painless))\b{_FEW}\b(?:rope|river|bridge"
    r"|pills|gun|train|hanging|drowning|jumping|overdose|razor|belt|height|carbon)",
    rf"(?:most|least|more|less|which|what|how)\b{_FEW}\b(?:suicid\w+|methods?|die|dying|{_DRUG})\b"
    rf"{_FEW}\b(?:reliable|certain|chance of (?:dying|surviv\w+)|success rate|lethality"
    r"|(?:cannot|can'?t|not|won'?t) fail)",
    # not to be saved, not to be seen, better than last time
    r"(?:so(?: that)?|make sure|how (?:do|can) i|until|before|keep|ensure)\b[\w ,'-]{0,40}\b"
    r"(?:nobody|no ?one|not|don'?t|doesn'?t|won'?t|never|too late|from|can'?t)\b[\w ,'-]{0,30}\b"
    r"(?:find(?:s|ing)? me|(?:sav(?:e|es|ing)|reviv\w+|reach(?:es)?|rescu\w+) me"
    r"|bring(?:s|ing)? me back|resuscitat\w+)\b",
    rf"(?:my (?:own )?(?:suicide|death)|i die|{_DEED}){_FEW}\b(?:look|seem|pass|appear|taken?"
    rf"|mistake)\w*{_FEW}\b(?:accident|natural|heart attack|fall|murder)",
    r"(?:tried|last time|survived)\b[\w ,.'-]{0,60}\b(?:what (?:should|can|do) i "
    r"(?:do|use|take|try) (?:differently|better|now|this time|next)|works? better|do it right"
    r"|how do i improve|so that (?:this time|it) )",
    rf"{_CARERS}{_FEW}\b(?:let me|releas\w+|discharg\w+|fine|suspects?|notices?|find out|get out"
    rf"|believe){_FEW}\b(?:{_ENDS}|finish|do it|try again|again)",
    rf"(?:hide|secret|conceal|lie about|suspects?|notices?|find out|sees?){_FEW}\b(?:my plan\w*"
    rf"|i'?m plan\w*|that i'?m (?:about|going)|i (?:want|plan) to){_FEW}\b{_ENDS}",
    # for others
    rf"(?:friend|girlfriend|boyfriend|brother|sister|somebody|someone|mate|cousin|he|she)\b{_FEW}\b"
    r"(?:wants? to (?:die|end (?:it|things|everything|his|her)|kill|be dead)|asked me"
    rf"|would like to){_FEW}[.,?!]?{_FEW}\b(?:what (?:should|do|can|shall) (?:i|he|she|they) "
    r"(?:use|take|recommend|tell (?:him|her|them) to (?:use|take))|(?:most|more) "
    r"(?:reliable|painless|certain|sure|peaceful)"
    r"|(?:easiest|surest|quickest|fastest) (?:way|method))",
    r"(?:push|drive|tip) (?:him|her|them|my \w+) over the edge",
    rf"(?:write|send|text|post|message|comment|caption|speech|sermon)\b{_FEW}\b(?:that|which|to) "
    rf"(?:make|get|push|drive|inspire|encourage|tell|call)s? [\w ,'-]{{0,40}}\b(?:{_DEED}"
    r"|die together|starve|go through with it|(?:cut|hurt) (?:him|her|them)sel\w+|jump)",
)
# One by one: all in one pattern are more than RE2's automaton holds.
_FORMS = [re2.compile(rf"(?i)\b(?:{form})") for form in _BY_FORM]
# Whoever says the one in one sentence and asks the other in the next.
_WANTS_OUT = re2.compile(
    rf"(?i)\b(?:(?:i|wanna|and|to|who wants? to) (?:wanna |want to |need to |will )?"
    rf"(?:die\b|be (?:dead|gone)\b|{_DEED}|end (?:it|things|everything))|want(?:s)? out\b|{_ENDING}"
    r"|suicide|my (?:goodbyes|letters|last (?:day|evening|night))|no will to live"
    r"|(?:i'?m|am) (?:done|through|finished) (?:with (?:life|living|it all)|living)|finish what \w+"
    r"|don'?t want (?:a |the |any )?(?:hotline|helpline|help)\w*|made up my mind|mind is made up)"
)
_THE_WAY = re2.compile(
    r"(?i)\b(?:how do i do it|do it right|(?:what are|rank|list) my options|options please"
    r"|what to (?:combine|mix|take|use)|how much is enough"
    r"|(?:only thing|missing) (?:\w+ ){0,5}how\b|(?:a|which|what|best|surest) method"
    r"|(?:just|only|now) (?:tell me |say |want to know |the )(?:how|which|what|dose)"
    r"|the (?:how|dose)\b|tell me how to do it|how to do it (?:quick|fast|prop)"
    r"|which (?:one )?(?:do|would|should) (?:you|i) (?:recommend|advise|pick|choose|take)"
    r"|(?:quick|certain|sure|fast|painless|gentle)(?:er|est)? (?:and \w+ )?"
    r"(?:way|option|method|exit)"
    r"|(?:trick|tricks|tips) (?:that|to|for))\b"
)
# A window without any of these has none of the forms.
_TOUCHES = re2.compile(
    r"(?i)\b(?:suicid|kill|hang|drown|shoot|stab|poison|electrocut|suffocat|strangl|unaliv|gas|off"
    r"|overdos|end|tak|di|de|never|kms|sewer|slit|cut|burn|hurt|harm|bruis|injur|punish|scratch"
    r"|starv|chok|bleed|scar|wound|eat|ate|blade|razor|sharp|pill|tablet|rope|finish|stop|jump"
    r"|find(?:s|ing)? me|(?:sav|reviv|reach|rescu)\w+ me|me back|resuscit|tried|last time|survived"
    r"|edge|go through|fatal|lethal|enough|too late|quick|sur|fast|painless|hurts|plan|scale|food"
    r"|hunger|exit|asleep)"
)
# A story may tell of a suicide. What it does not need is a method that works.
_FICTION = re2.compile(
    r"(?i)\b(?:novel|story|book|character|scene|chapter|film|movie|poem|rap|song|game|hero|villain"
    r"|monologue)\w*\b[\w ,.:'-]{0,160}\b(?:exact\w*|precise\w*|in detail|accurate\w*"
    r"|real (?:facts|steps|instructions|method)|realistic\w*|step[- ]by[- ]step|every step|how much"
    r"|amounts?|doses?|would (?:really |actually )?work|what (?:she|he) (?:takes|uses))"
)
_SELF_INFLICTED = re2.compile(rf"(?i)\b(?:{_ENDS}|suicid\w+|overdos\w+)")

_ASKS = re2.compile(
    r"(?i)\b(?:how|what|wh?at'?s|wat|which|where|whether|ways?|methods?|means|tips|tricks|ideas"
    r"|hacks|tell|give|list|rank\w*|explain|describe|teach|show|walk me|instructions?|directions"
    r"|steps?|guide|plan|recipe|tutorial|checklist|help me|convince|persuade|encourage|push\w*"
    r"|write|make|draft|design|choose|pick|order me|pretend|role-?play|is there|is it"
    r"|(?:can|could|should|would) (?:i|you|one)|best|better|i need|(?:eas|quick|fast|sur)i?est"
    r"|least|most|dose|amount|painless)\b"
)
_NAMES = re2.compile(
    rf"(?i)\b(?:suicid\w*|sewer ?slid\w*|unaliv\w+|kms|self-?harm\w*|overdos\w*|noose|nembutal"
    rf"|{_DEED}|{_DOING}"
    rf"|(?:kill|hurt|harm|cut|burn|starv|off|shoot|hang|drown)(?:e|s|t?ing)? {_ONESELF}"
    r"|(?:i|to|and|will|would|surely|can) die|to death|my death|lethal\w*|fatal\w*|deadl\w+"
    r"|(?:kill|finish|end) (?:me|a person|someone|somebody)|end (?:it|things)(?: all)?"
    r"|(?:never|not|don'?t|won'?t) wake|(?:not|don'?t|without) surviv\w+|catch\w* the bus"
    r"|bleed out|sleep forever|open my eyes again|thinspo\w*|pro[ -]?(?:ana|mia)|anorexic|purg\w+"
    r"|laxatives?|throw(?:ing)? up|make myself (?:vomit|sick)|starv\w+)\b"
)
_COMES_NEAR = re2.compile(
    r"(?i)\b(?:die|dies|dying|(?:be|i'?m|i am) dead|death|kills|gone|exit"
    r"|(?:jump|step)\w* (?:off|from|in front|to)|ropes?|knots?|pills|tablets|bridge|gun|wrists?"
    r"|arter(?:y|ies)|veins?|razors?|blades?|scars?|skin|poison\w*|vomit\w*|calories|hunger|ribs"
    r"|skinny|(?:my|fresh|deep) cuts?|cut deep|(?:cut|burn) my (?:skin|arms?|legs?|thighs?|throat)"
    r"|without any(?:one|body) (?:see|notic|hear|know)ing"
    r"|(?:nobody|no ?one) (?:sees|notices|hears|knows|finds))\b"
)
_REFUSED_HELP = re2.compile(
    r"(?i)\b(?:ignore|no|skip|without|don'?t (?:want|need|give me)|stop (?:telling|giving) me)\b"
    r"(?: [\w']+){0,4} (?:help|hotlines?|helplines?|therap\w+|crisis lines?|support)\b"
)
_HELP = re2.compile(
    r"(?i)\b(?:(?:want|how|try\w*|need|learn\w*) to stop|urges?|apps?|moderators?|guidelines?"
    r"|(?:i|we) (?:reply|respond|react|answer)|without (?:showing|naming|describing)"
    r"|stop (?:\w+ing|him|her|them|this|myself|me from|the (?:bleeding|urge\w*))|quit|notice that"
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
# What the subject of a question may be, in whatever spirit it is asked: no help against a form.
_MATTERS = re2.compile(
    r"(?i)\b(?:you asked|research|tried|thinks?|stop eating|hospital|legal"
    r"|should i do differently|my (?:\w+ )?(?:kids?|son|daughter|patient)s?"
    r"|talk to (?:someone|somebody))\b"
)
_COVERED_SCARS = re2.compile(
    r"(?i)\b(?:(?:old|former) (?:[\w-]+ )?(?:scars?|cuts|wounds)|tattoos?|years ago"
    r"|(?:been|stayed|am|i'?m) clean)\b"
)


def mark_methods(windows: Sequence[str], scores: Scores) -> None:
    """Raises the score of `self-harm/instructions` where a window asks plainly."""
    for row, window in enumerate(windows):
        if _asks_plainly(" ".join(window.split())):
            scores[row, INSTRUCTIONS] = max(scores[row, INSTRUCTIONS], _SURE)


def may_ask(window: str) -> bool:
    """Whether it asks anything and comes near to death or self-harm: a coarse sieve."""
    return bool(_ASKS.search(window) and (_NAMES.search(window) or _COMES_NEAR.search(window)))


def asking(window: str) -> float:
    """What to add to the second opinion's margin for `self-harm/instructions`."""
    window = " ".join(window.split())
    if _speaks_of_help(window):
        return _FOR_HELP
    if not _ASKS.search(window):
        return 0.0
    if _NAMES.search(window):
        return float(_BLOCKS - _NAMED)
    return float(_BLOCKS - (_NEAR if _COMES_NEAR.search(window) else _UNNAMED))


def _asks_plainly(window: str) -> bool:
    if _PLAIN.search(window):
        return True
    if _speaks_of_help(_MATTERS.sub("", window)):
        return False
    if _LESS_PLAIN.search(window) or _for_a_story(window) or _wants_the_way(window):
        return True
    return bool(_TOUCHES.search(window)) and any(form.search(window) for form in _FORMS)


def _wants_the_way(window: str) -> bool:
    return bool(_WANTS_OUT.search(window) and _THE_WAY.search(window))


def _for_a_story(window: str) -> bool:
    return bool(_FICTION.search(window) and _SELF_INFLICTED.search(window))


def _speaks_of_help(window: str) -> bool:
    return bool(_HELP.search(_REFUSED_HELP.sub("", window)) or _COVERED_SCARS.search(window))
