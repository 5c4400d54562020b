"""Lists of English words by which the rules in `claims.py` tell statements apart."""


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


def _phrases(listed: str) -> frozenset[str]:
    return frozenset(" ".join(phrase.split()) for phrase in listed.split(","))


# A person may have several of these, so a second one says nothing about the first one.
MANY = _words(
    """
    aunt brother child classmate client colleague cousin coworker daughter flatmate friend goal
    goals grandchild granddaughter grandfather grandmother grandson hobby idea interest kid
    neighbor neighbour nephew niece patient pupil roommate sibling sister skill son student task
    teammate tenant twin uncle
    """
)

# With such a word there is only one of them.
DISTINGUISHING = _words(
    """
    best big closest current elder eldest first last latest little new newest next older oldest
    only present second third younger youngest
    """
)

# `my X is <name>` says who or what that is.
BEINGS = _words(
    """
    accountant agent assistant author baby babysitter bird boss boyfriend budgie bunny cat ceo
    coach cow cto dentist doctor dog donkey editor ex father fiance fiancee fiancé fiancée fish
    girlfriend goat goldfish hamster horse husband kitten landlady landlord lawyer lead manager
    mentor mother parrot partner pet pony professor puppy rabbit snake supervisor teacher
    therapist tortoise trainer turtle tutor vet wife
    """
)

# `my X is <anything>` has one answer at a time.
ATTRIBUTES = _words(
    """
    account address age airline allowance anniversary bedtime birthday birthplace brand budget
    code colour commute curfew currency deadline degree destination diet email employer extension
    formality gym handle height hometown id income insurer job keyboard language level locker
    login major mortgage motto name nationality nickname number occupation operator passcode
    password pin plan plate position profession pronouns provider religion rent role salary school
    shift size speciality specialty surname time timezone title type university url username
    website weight workplace zodiac zone
    """
)

# Words that say how a thing is and not which one it is.
JUDGING = _words(
    """
    a always amazing annoying awesome awful bad beautiful boring broken busy changing cheap closed
    complicated confidential cool delicious difficult easy empty enough exciting expensive fast
    fine flexible friendly full fun funny generous gone good great hard high huge important
    interesting known late lazy long lost loud low missing never new nice noisy not old open
    outdated over perfect pretty private public quite rather ready really rewarding sad secret
    secure shared short shy sick slow small smart so sometimes strange stressful strict stupid
    terrible the tight tired tiring to too tough ugly unknown unlisted unusual upset useful very
    weak weird well wonderful wrong
    """
)

LANGUAGES = _words(
    """
    arabic basque bengali bulgarian cantonese catalan chinese croatian czech danish dutch english
    esperanto estonian farsi finnish french galician georgian german greek gujarati hebrew hindi
    hungarian icelandic indonesian irish italian japanese javanese kannada korean latin latvian
    lithuanian malay maltese mandarin marathi mongolian nepali norwegian persian polish portuguese
    punjabi romanian russian serbian slovak slovene slovenian spanish swahili swedish tagalog
    tamil telugu thai turkish ukrainian urdu vietnamese welsh yoruba zulu
    """
)

# Words that begin with a capital letter and are nobody's name.
NOT_NAMES = LANGUAGES | _words(
    """
    african albanian algerian american android argentinian asian atheist australian austrian
    bangladeshi bavarian belgian bisexual bolivian bosnian brazilian british buddhist canadian
    catholic ceo cfo chilean christian colombian conservative cto cuban democrat ecuadorian
    egyptian emirati ethiopian european ev filipino gay ghanaian hindu hr i indian iranian iraqi
    israeli it jamaican jew jewish jordanian kenyan kosher kurdish lebanese lesbian lgbt liberal
    lutheran md mexican moroccan muslim nigerian orthodox pakistani palestinian pc peruvian phd
    protestant puerto queer republican saudi scottish sikh singaporean spaniard suv swiss syrian
    taiwanese tibetan trans tunisian tv vegan vegetarian venezuelan vip western xl xs
    """
)

COUNTRIES = _phrases(
    """
    afghanistan, albania, algeria, america, andorra, angola, argentina, armenia, australia,
    austria, azerbaijan, bahrain, bangladesh, barbados, belarus, belgium, belize, benin, bhutan,
    bolivia, bosnia, botswana, brazil, brunei, bulgaria, cambodia, cameroon, canada, chad, chile,
    china, colombia, congo, costa rica, croatia, cuba, cyprus, czech republic, czechia, denmark,
    ecuador, egypt, el salvador, england, estonia, ethiopia, fiji, finland, france, gabon, gambia,
    georgia, germany, ghana, great britain, greece, guatemala, guinea, haiti, holland, honduras,
    hungary, iceland, india, indonesia, iran, iraq, ireland, israel, italy, ivory coast, jamaica,
    japan, jordan, kazakhstan, kenya, korea, kosovo, kuwait, kyrgyzstan, laos, latvia, lebanon,
    lesotho, liberia, libya, liechtenstein, lithuania, luxembourg, macedonia, madagascar, malawi,
    malaysia, maldives, mali, malta, mauritius, mexico, moldova, monaco, mongolia, montenegro,
    morocco, mozambique, myanmar, namibia, nepal, netherlands, new zealand, nicaragua, niger,
    nigeria, north korea, norway, oman, pakistan, palestine, panama, paraguay, peru, philippines,
    poland, portugal, qatar, romania, russia, rwanda, saudi arabia, scotland, senegal, serbia,
    singapore, slovakia, slovenia, somalia, south africa, south korea, spain, sri lanka, sudan,
    suriname, sweden, switzerland, syria, taiwan, tajikistan, tanzania, thailand, togo, tunisia,
    turkey, turkmenistan, uae, uganda, uk, ukraine, united arab emirates, united kingdom, united
    states, uruguay, us, usa, uzbekistan, venezuela, vietnam, wales, yemen, zambia, zimbabwe
    """
)

DIETS = _words(
    """
    carnivore flexitarian keto omnivore omnivorous paleo pescatarian pescetarian vegan vegetarian
    """
)

MARITAL = _phrases(
    """
    divorced, engaged, in a relationship, married, married again, remarried, separated, single,
    widowed
    """
)

COLOURS = _words(
    """
    beige black blond blonde blue bronze brown crimson cyan gold golden gray green grey indigo
    ivory lavender magenta maroon navy olive orange pink purple red rose silver tan teal turquoise
    violet white yellow
    """
)

# How long an answer shall be.
SHORT = _words("brief briefly concise concisely crisp short shorter succinct succinctly terse")
LONG = _words("detailed elaborate exhaustive in-depth long longer thorough verbose")
UNITS = {
    "metric": "units",
    "imperial": "units",
    "celsius": "temperature",
    "fahrenheit": "temperature",
    "kilometres": "distance",
    "kilometers": "distance",
    "miles": "distance",
}
TONES = _words("casual casually formal formally friendly informal informally playful")
