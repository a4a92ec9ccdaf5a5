# Tangled from chapters/reference/toy-grammar.md: change it there, then run `make tangle`.
"""Sentences that make sense: who may do what, to whom, where, when and why."""

from collections.abc import Callable, Iterator

from annotated.data.toy import lexicon
from annotated.data.toy.lexicon import BE, WORLD, Verb, adjectives_for, nouns_of, verbs_for
from annotated.data.toy.phrases import (
    Dice,
    Nonsense,
    require,
    some_object,
    some_place,
    some_subject,
)
from annotated.data.toy.syntax import (
    COUNTED,
    DISTRIBUTIVE,
    INDEFINITE,
    PERSON,
    PRONOUNS,
    Clause,
    Phrase,
    pronoun_for,
)


def act(dice: Dice, subject: Phrase, verb: Verb | None = None) -> Clause:
    """A clause in which the subject does something."""
    verb = verb or dice.pick(verbs_for(subject.kinds))
    objects = [some_object(dice, subject, verb, among) for _, among in verb.objects]
    clause = Clause(subject, verb, objects, tense=some_tense(dice, subject, verb))
    for phrase, mark in clause.marked:  # a bare dative (Lehrerinnen helfen) is not said
        require(mark != "dat" or phrase.determiner or phrase.is_a("name"))
    return clause


def some_tense(dice: Dice, subject: Phrase, verb: Verb) -> str:
    """A tense or a modal verb: nobody must wake up, and only people should work."""
    if "timeless" in verb.kinds:
        return "present"
    if "stative" in verb.kinds:
        return dice.weighted({"present": 60, "past": 30})
    tenses = {"present": 22, "progressive": 34, "past": 28}
    if "involuntary" not in verb.kinds:
        tenses |= {"can": 5, "want": 6, "will": 5}
        tenses |= {"must": 5, "should": 4} if subject.is_a("person") else {}
    return dice.weighted(tenses)


def describe(dice: Dice, subject: Phrase, adjective: str = "") -> Clause:
    """The subject is tired, cheap, beautiful ..., or is `adjective`, where that fits."""
    options = [a for a in adjectives_for(subject.kinds) if adjective in ("", a.english)]
    known = subject.referent.adjective
    require(options and not (known and (not adjective or known is options[0])))
    tense = "past" if dice.chance(0.2) else "present"
    return Clause(subject, BE, adjective=dice.pick(options), tense=tense)


def add_place(dice: Dice, clause: Clause, probability: float = 0.28) -> None:
    """Says where. Animals have their own places."""
    habitats = [names for kind, names in WORLD["habitats"].items() if clause.subject.is_a(kind)]
    options = nouns_of(clause.verb.places)
    if habitats:
        options = [noun for noun in options if noun.english[0] in habitats[0]]
    if options and dice.chance(probability):
        clause.place = some_place(dice, dice.pick(options))


def add_time(dice: Dice, clause: Clause, probability: float = 0.3, front: bool = True) -> None:
    """Says when, and sometimes says it first. It must suit the tense and the object."""
    timeless = "timeless" in clause.verb.kinds or clause.verb.english in ("be", "have")
    if timeless or not dice.chance(probability):
        return
    when = {"past": "past", "present": "present", "progressive": "now"}.get(clause.tense, "future")
    known = any(phrase.definite for phrase in clause.objects)
    if when == "present" and known or when == "future" and clause.subject.is_a("animal"):
        return
    clause.time = dice.pick([time for time in lexicon.ADVERBIALS if when in time.tenses])
    require(not (clause.time.negative and clause.place and clause.objects))
    clause.fronted = front and not clause.time.middle and dice.chance(0.5)


def negate(dice: Dice, clause: Clause, probability: float = 0.16) -> None:
    """Negates a clause, unless it could be doubted what exactly is denied."""
    clear = clause.subject.determiner not in INDEFINITE and not (clause.place and clause.objects)
    for phrase, mark in clause.marked:
        clear = clear and phrase.determiner not in COUNTED and (mark == "acc" or phrase.definite)
    habit = clause.time and clause.time.middle
    if clear and not habit and clause.tense != "must":
        clause.negated = dice.chance(probability)


def add_relative(dice: Dice, phrase: Phrase, verb: Verb, probability: float) -> None:
    """May give a phrase a relative clause, whose pronoun is its subject or its object."""
    unfit = not phrase.noun or phrase.kinds & {"place", "name", "kin", "mass"}
    if not dice.chance(probability) or unfit or phrase.determiner not in ("the", *INDEFINITE):
        return
    pronoun = Phrase(pronoun="relative", antecedent=phrase)
    phrase.relative = (object_relative if dice.chance(0.5) else subject_relative)(dice, pronoun)
    require(phrase.relative.verb.english != verb.english)


def subject_relative(dice: Dice, pronoun: Phrase) -> Clause:
    """The dog that sleeps in the garden; the car that is broken."""
    if not pronoun.is_a("person") and not pronoun.is_a("animal"):
        return describe(dice, pronoun)
    clause = act(dice, pronoun)
    if clause.tense == "present" and "momentary" in clause.verb.kinds:
        clause.tense = "past"
    add_place(dice, clause, 0.5)
    negate(dice, clause, 0.08)
    return clause


def object_relative(dice: Dice, pronoun: Phrase) -> Clause:
    """The dog that the old man loves; the bus that we are waiting for."""
    subject = some_subject(dice, inner=True)
    options = [v for v in verbs_for(subject.kinds) if len(v.objects) == 1]
    options = [verb for verb in options if pronoun.kinds & verb.objects[0][1]]
    require(options and subject.determiner not in DISTRIBUTIVE)
    verb = dice.pick(options)
    require(verb.english != "have")
    clause = Clause(subject, verb, [pronoun], tense=some_tense(dice, subject, verb))
    negate(dice, clause, 0.05)
    return clause


def simple(dice: Dice, rich: int = 1, inner: bool = False, subject: Phrase | None = None) -> Clause:
    """One clause, perhaps with relative clauses; an `inner` one begins with its subject."""
    subject = subject or some_subject(dice, inner=inner)
    if subject.determiner not in INDEFINITE and not subject.pronoun and dice.chance(0.16):
        clause = describe(dice, subject)
    else:
        clause = act(dice, subject)
        add_place(dice, clause)
        add_time(dice, clause, front=not inner)
    add_relative(dice, subject, clause.verb, 0.1 * rich)
    at_end = clause.time and not clause.time.middle and not clause.fronted
    if clause.objects and not clause.place and not at_end:
        add_relative(dice, clause.objects[-1], clause.verb, 0.2 * rich)
    negate(dice, clause)
    return clause


def lasting(dice: Dice, rich: int) -> Clause:
    """An action that goes on for a while."""
    subject = some_subject(dice, inner=True)
    clause = act(dice, subject, dice.pick(verbs_of(subject, "lasting")))
    require(subject.determiner != "every")
    clause.tense = "progressive"
    add_place(dice, clause)
    add_relative(dice, subject, clause.verb, 0.06 * rich)
    return clause


def explained(dice: Dice, part: str, rich: int) -> tuple[Clause, str]:
    """An action, and an adjective of its `part` (subject or object) that explains it."""
    reasons, subject = lexicon.TABLES["reasons"][part], some_subject(dice)
    verb = dice.pick([verb for verb in verbs_for(subject.kinds) if verb.name in reasons])
    clause = act(dice, subject, verb)
    if clause.tense in lexicon.MODALS:
        wanted = verb.name in ("sleep", "eat", "drink", "buy", "sell")
        clause.tense = "want" if wanted else "past"
    add_place(dice, clause, 0.1)
    add_relative(dice, subject, verb, 0.06 * rich)
    return clause, dice.pick(reasons[verb.name].split())


def couple(dice: Dice, pairs: list[str]) -> tuple[Clause, Clause]:
    """Two actions of one subject on one object, which is a pronoun the second time."""
    first, second = dice.pick(pairs).split(", ")
    subject = some_subject(dice, PERSON if dice.chance(0.8) else None)
    verbs = {verb.name: verb for verb in verbs_for(subject.kinds)}
    require(first in verbs and second in verbs)
    clause, verb = act(dice, subject, verbs[first]), verbs[second]
    thing = clause.objects[-1]
    require(thing.noun and thing.determiner != "every" and thing.kinds & verb.objects[-1][1])
    return clause, Clause(pronoun(subject), verb, [pronoun(thing)])


def verbs_of(subject: Phrase, kind: str) -> list[Verb]:
    """The verbs of one kind that the subject can have."""
    return [verb for verb in verbs_for(subject.kinds) if kind in verb.kinds]


def pronoun(phrase: Phrase) -> Phrase:
    """A pronoun for the phrase."""
    require(phrase.number or not phrase.is_a("girl"))  # she: grammar says es, people say sie
    antecedent = None if phrase.pronoun in ("I", "we") else phrase
    return Phrase(pronoun=pronoun_for(phrase), antecedent=antecedent)


def join(clause: Clause, conjunction: str, other: Clause, first: bool = False) -> Clause:
    clause.conjunction, clause.joined, clause.joined_first = conjunction, other, first
    return clause


def with_reason(dice: Dice, rich: int = 1, inner: bool = False) -> Clause:
    """The man buys the bread because it is fresh; when the dog is hungry, it eats meat."""
    of_object = dice.chance(0.45)
    clause, why = explained(dice, "object" if of_object else "subject", rich)
    if not of_object and not inner and clause.subject.noun and dice.chance(0.3):
        reason = describe(dice, clause.subject, why)
        clause.subject = pronoun(clause.subject)
        clause.tense = reason.tense = "present"
        return join(clause, "when", reason, first=True)
    reason = describe(dice, pronoun(clause.objects[-1] if of_object else clause.subject), why)
    reason.tense = "past" if clause.tense == "past" else "present"
    if not of_object and dice.chance(0.3):
        negate(dice, clause, 1.0)
    return join(clause, "although" if clause.negated else "because", reason)


def with_and(dice: Dice, rich: int = 1) -> Clause:
    """The man buys the book and reads it; the man is cooking and the woman is reading."""
    if dice.chance(0.4):
        return join(lasting(dice, rich), "and", lasting(dice, rich))
    clause, other = couple(dice, WORLD["sequels"])
    clause.tense = "present"
    other.subject = Phrase(pronoun="elided", antecedent=clause.subject)
    add_time(dice, clause, 0.4)
    require(clause.fronted or not clause.time)
    return join(clause, "and", other)


def with_but(dice: Dice, rich: int = 1) -> Clause:
    """The woman is looking for the key, but she cannot find it; he is tired, but he ..."""
    if dice.chance(0.3):
        other, why = explained(dice, "subject", rich)
        clause = describe(dice, other.subject, why)
        clause.tense, other.tense = "present", dice.pick(("can", "want", "present"))
        other.subject, other.place = pronoun(other.subject), None
    else:
        clause, other = couple(dice, WORLD["contrasts"])
        present = "stative" in clause.verb.kinds or dice.chance(0.3)
        clause.tense = "present" if present else "progressive"
        can = "stative" not in other.verb.kinds and dice.chance(0.4)
        other.tense = "can" if can else "present"
    negate(dice, other, 1.0)
    require(other.negated)
    return join(clause, "but", other)


def with_while(dice: Dice, rich: int = 1, inner: bool = False) -> Clause:
    """The man is cooking while the woman is reading."""
    clause, other = lasting(dice, rich), lasting(dice, rich)
    return join(clause, "while", other, first=not inner and dice.chance(0.4))


def with_before(dice: Dice, rich: int = 1) -> Clause:
    """The woman reads a story before she falls asleep."""
    subject = some_subject(dice)
    clause = act(dice, subject, dice.pick(verbs_of(subject, "earlier")))
    other = act(dice, pronoun(subject), dice.pick(verbs_of(subject, "later")))
    require(clause.verb is not other.verb)
    clause.tense = other.tense = "present"
    first = bool(subject.noun) and dice.chance(0.4)
    if first:
        clause.subject, other.subject = other.subject, clause.subject
    return join(clause, "before", other, first)


def with_that(dice: Dice, rich: int = 1, inner: bool = False) -> Clause:
    """The boy hopes that his mother will come back."""
    subject = some_subject(dice, PERSON if dice.chance(0.7) else None, inner)
    verbs = verbs_for(subject.kinds, "that")
    require(verbs and subject.determiner not in DISTRIBUTIVE)
    clause = Clause(subject, dice.pick(verbs))
    if clause.verb.english == "say" and dice.chance(0.5):
        clause.tense = "past"
    about_itself = dice.chance(0.25)
    makers: dict[Maker, int] = {
        simple: 80 // rich, with_reason: 10 * rich, with_while: 4 * rich, with_that: 4 * rich,
    }  # fmt: skip
    topic = pronoun(subject) if about_itself else None
    make = dice.weighted(makers)
    said = simple(dice, rich, True, topic) if make is simple else make(dice, rich, True)
    require(said.verb is not clause.verb and credible(clause, said, about_itself))
    doubtful = clause.verb.english in ("know", "believe", "say") and clause.tense == "present"
    if doubtful and not about_itself and subject.pronoun not in ("I", "we"):
        negate(dice, clause, 0.2)
    return join(clause, "that", said)


def credible(clause: Clause, said: Clause, about_itself: bool) -> bool:
    """People hope for what will be, and need not be told what they are doing."""
    if clause.tense == "past":
        return said.tense == "past"
    if clause.verb.english == "hope":
        dear = said.subject.is_a("person") or said.subject.is_a("pet")
        return dear and said.tense in ("can", "will") and not said.negated
    return not about_itself or said.verb is BE or said.tense in ("can", "must", "should", "past")


Maker = Callable[..., Clause]


def some_sentence(dice: Dice, rich: int = 1) -> Clause:
    """A sentence of any kind; `rich` ones have more clauses."""
    makers: dict[Maker, int] = {
        simple: 50 // rich, with_reason: 14, with_that: 11 * rich, with_but: 8, with_and: 7,
        with_while: 6, with_before: 4,
    }  # fmt: skip
    return dice.weighted(makers)(dice, rich)


def walk(clause: Clause) -> Iterator[tuple[Clause, Phrase]]:
    """All phrases of a sentence in their English order, each with its clause."""
    if clause.joined and clause.joined_first:
        yield from walk(clause.joined)
    for phrase in (clause.subject, *clause.objects, clause.place):
        if phrase:
            yield clause, phrase
            if phrase.relative:
                yield from walk(phrase.relative)
    if clause.joined and not clause.joined_first:
        yield from walk(clause.joined)


def is_clear(clause: Clause) -> bool:
    """Whether a pronoun has only one noun before it to stand for, and no noun comes twice."""
    seen: list[Phrase] = []
    for _, phrase in walk(clause):
        if phrase.antecedent and phrase.pronoun in PRONOUNS:
            if any(pronoun_for(p) == phrase.pronoun for p in seen if p is not phrase.referent):
                return False
        elif phrase.pronoun not in ("relative", "elided"):
            seen.append(phrase)
    nouns = [p.noun for one in seen for p in (one, one.conjunct) if p and p.noun]
    return len(nouns) == len(set(nouns))


def clauses(seed: int, rich: int = 1) -> Iterator[Clause]:
    """Sensible sentences without end, as abstract syntax."""
    dice = Dice(seed)
    while True:
        try:
            clause = some_sentence(dice, rich)
        except Nonsense:
            continue
        if is_clear(clause):
            yield clause
