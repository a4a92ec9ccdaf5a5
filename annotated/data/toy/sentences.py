"""Sentences that make sense: who may do what, to whom, where, when and why."""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TypeVar

from annotated.data.toy.lexicon import (
    ADJECTIVES, ADVERBIALS, BE, MODALS, NOUNS, TABLES, VERBS, WORLD, Adjective, Noun, Verb, words,
)  # fmt: skip
from annotated.data.toy.syntax import PRONOUNS, Clause, Phrase, pronoun_for

T = TypeVar("T")


class Dice:
    """Choices from one stream of random.random(), which is the same on every platform."""

    def __init__(self, seed: int):
        self.random = random.Random(seed).random

    def chance(self, probability: float) -> bool:
        return self.random() < probability

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.random() * len(options))]

    def weighted(self, options: dict[T, int]) -> T:
        at = self.random() * sum(options.values())
        for option, weight in options.items():
            at -= weight
            if at < 0:
                return option
        return option


class Nonsense(Exception):
    """A half-made sentence that cannot be finished sensibly: it is dropped and made anew."""


def require(condition: object) -> None:
    if not condition:
        raise Nonsense


# %%
@cache
def nouns_of(kinds: frozenset[str]) -> list[Noun]:
    return [noun for noun in NOUNS if noun.kinds & kinds]


@cache
def verbs_for(noun: Noun | None, complement: str = "") -> list[Verb]:
    """The verbs that a noun can be the subject of (None: I, we ...), with such a complement."""
    kinds = noun.kinds if noun else PERSON
    return [verb for verb in VERBS if verb.subjects & kinds and verb.complement == complement]


@cache
def adjectives_for(noun: Noun | None) -> list[Adjective]:
    """The adjectives that fit a noun (None: I, we ...)."""
    kinds = noun.kinds if noun else PERSON
    return [adjective for adjective in ADJECTIVES if adjective.kinds & kinds]


def verbs_of(subject: Phrase, kind: str) -> list[Verb]:
    """The subject's verbs of one of the lexicon's kinds."""
    return [verb for verb in verbs_for(subject.referent.noun) if kind in verb.kinds]


PERSON, ANIMAL, NAME, OWNED = map(words, ("person", "animal", "name", WORLD["owned"]))
COUNTED = ("two", "three", "many")
VAGUE = ("a", "every", *COUNTED)
UNCLEAR = ("every", *COUNTED)  # no pronoun can take up what "every dog" means


# %%
def some_phrase(dice: Dice, noun: Noun, subject: Phrase | None = None) -> Phrase:
    """A phrase with this noun; that of an object may belong to the `subject`."""
    phrase = Phrase(noun)
    if phrase.is_name:
        return phrase
    phrase.plural = bool(noun.german[1]) and dice.chance(0.22)
    phrase.determiner = some_determiner(dice, phrase, noun.kinds, subject)
    phrase.owner = subject if phrase.determiner == "own" else None
    if dice.chance(0.15 if "kin" in noun.kinds else 0.32) and adjectives_for(noun):
        phrase.adjective = dice.pick(adjectives_for(noun))
    return phrase


def some_determiner(
    dice: Dice, phrase: Phrase, kinds: frozenset[str], subject: Phrase | None
) -> str:
    """The, a, my, its ... in sensible proportions: how often depends on the noun."""
    own = 10 if subject and kinds & OWNED and may_own(subject, phrase) else 0
    my, bare = 6 if kinds & OWNED else 0, 20 if subject else 0
    if "kin" in kinds:
        return dice.weighted({"my": 8, "our": 4, "own": 2 * own})
    if "mass" in kinds:
        return dice.weighted({"": 5 * bare, "the": 80, "this": 12, "own": 2 * own})
    owned = {"my": my, "our": my, "own": own}
    if phrase.plural:
        return dice.weighted(
            {"the": 50, "": bare, "two": 8, "three": 6, "many": 6, "these": 6} | owned
        )
    every = 0 if subject else 4
    return dice.weighted({"the": 56, "a": 16 + bare, "this": 6, "every": every} | owned)


def may_own(subject: Phrase, phrase: Phrase) -> bool:
    """Not a girl (her: grammar says sein, people say ihr), nor an animal its uncle."""
    if subject.pronoun in ("I", "we", "relative") or subject.is_a("girl"):
        return False
    return subject.is_a("person") or not phrase.is_a("kin")


# %%
def some_place(dice: Dice, noun: Noun) -> Phrase:
    """A known place: the old garden, our kitchen."""
    phrase = Phrase(noun)
    if noun.kinds & OWNED and dice.chance(0.2):
        phrase.determiner = dice.pick(("my", "our"))
    if adjectives_for(noun) and dice.chance(0.2):
        phrase.adjective = dice.pick(adjectives_for(noun))
    return phrase


def some_subject(dice: Dice, among: frozenset[str] | None = None, inner: bool = False) -> Phrase:
    """Somebody who does something. An `inner` clause has he, she or they only for a noun."""
    if not among and dice.chance(0.16):
        return Phrase(pronoun=dice.pick(("I", "we") if inner else ("I", "we", "he", "she", "they")))
    among = among or dice.weighted({PERSON: 72, ANIMAL: 28})
    phrase = some_phrase(dice, dice.pick(nouns_of(among)))
    if phrase.is_name and dice.chance(0.2):
        phrase.conjunct = Phrase(dice.pick([n for n in nouns_of(NAME) if n is not phrase.noun]))
    return phrase


def some_object(dice: Dice, subject: Phrase, verb: Verb, among: frozenset[str]) -> Phrase:
    """Somebody or something else, of these kinds."""
    noun = dice.pick(nouns_of(among))
    speaks = subject.pronoun in ("I", "we")
    if noun.prepositions:
        phrase = some_place(dice, noun)
    elif not speaks and "person" in noun.kinds and dice.chance(0.12):
        phrase = Phrase(pronoun=dice.pick(("I", "we")))
    else:
        phrase = some_phrase(dice, noun, subject)
    # Nobody bakes an old cake, buys what is theirs, or sees themselves; I see my aunt, not ours.
    creative, adjective = "creative" in verb.kinds, phrase.adjective
    require(not (creative and adjective and adjective.english not in WORLD["new"]))
    require(not ((creative or verb.name == "buy") and phrase.determiner in ("my", "our", "own")))
    require(noun is not subject.referent.noun)
    require(phrase.determiner != {"I": "our", "we": "my"}.get(subject.pronoun))
    return phrase


# %%
def act(dice: Dice, subject: Phrase, verb: Verb | None = None) -> Clause:
    """A clause in which the subject does something."""
    verb = verb or dice.pick(verbs_for(subject.referent.noun))
    objects = [some_object(dice, subject, verb, among) for _, among in verb.objects]
    clause = Clause(subject, verb, objects, tense=some_tense(dice, subject, verb))
    for phrase, mark in clause.marked:  # a bare dative (Lehrerinnen helfen) is not said
        require(mark != "dat" or phrase.determiner or phrase.is_name)
    return clause


def some_tense(dice: Dice, subject: Phrase, verb: Verb) -> str:
    """A tense or a modal verb: nobody must wake up, and only people should work."""
    if "timeless" in verb.kinds:
        return "present"
    tenses = {"present": 22, "progressive": 34, "past": 28}
    if "stative" in verb.kinds:
        tenses = {"present": 60, "past": 30}
    elif "involuntary" not in verb.kinds:
        tenses |= {"can": 5, "want": 6, "will": 5}
        if subject.is_a("person"):
            tenses |= {"must": 5, "should": 4}
    return dice.weighted(tenses)


def describe(dice: Dice, subject: Phrase, adjective: str = "") -> Clause:
    """The subject is tired, cheap, beautiful ..., or is `adjective`, where that fits."""
    options = [a for a in adjectives_for(subject.referent.noun) if adjective in ("", a.english)]
    known = subject.referent.adjective
    require(options and not (known and (not adjective or known is options[0])))
    tense = "past" if dice.chance(0.2) else "present"
    return Clause(subject, BE, adjective=dice.pick(options), tense=tense)


# %%
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
    clause.time = dice.pick([time for time in ADVERBIALS if when in time.tenses])
    require(not (clause.time.negative and clause.place and clause.objects))
    clause.fronted = front and not clause.time.middle and dice.chance(0.5)


def negate(dice: Dice, clause: Clause, probability: float = 0.16) -> None:
    """Negates a clause, unless it could be doubted what exactly is denied."""
    vague = clause.subject.determiner in VAGUE or bool(clause.place and clause.objects)
    for phrase, mark in clause.marked:
        vague = vague or phrase.determiner in COUNTED or not (mark == "acc" or phrase.definite)
    habit = clause.time and clause.time.middle
    if not vague and not habit and clause.tense != "must":
        clause.negated = dice.chance(probability)


# %%
def add_relative(dice: Dice, phrase: Phrase, verb: Verb, probability: float) -> None:
    """May give a phrase a relative clause, whose pronoun is its subject or its object."""
    noun = phrase.noun
    unfit = not noun or noun.kinds & {"place", "name", "kin", "mass"}
    if not dice.chance(probability) or unfit or phrase.determiner not in ("the", *VAGUE):
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
    options = [
        verb
        for verb in verbs_for(subject.referent.noun)
        if len(verb.objects) == 1 and any(pronoun.is_a(kind) for kind in verb.objects[0][1])
    ]
    require(options and subject.determiner not in UNCLEAR)
    verb = dice.pick(options)
    require(verb.english != "have")
    clause = Clause(subject, verb, [pronoun], tense=some_tense(dice, subject, verb))
    negate(dice, clause, 0.05)
    return clause


# %%
def simple(dice: Dice, subject: Phrase | None = None, inner: bool = False, rich: int = 1) -> Clause:
    """One clause, perhaps with relative clauses; an `inner` one begins with its subject."""
    subject = subject or some_subject(dice, inner=inner)
    if subject.determiner not in VAGUE and not subject.pronoun and dice.chance(0.16):
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


def pronoun(phrase: Phrase) -> Phrase:
    """A pronoun for the phrase."""
    require(phrase.number or not phrase.is_a("girl"))  # she: grammar says es, people say sie
    antecedent = None if phrase.pronoun in ("I", "we") else phrase
    return Phrase(pronoun=pronoun_for(phrase), antecedent=antecedent)


# %%
def explained(dice: Dice, part: str, rich: int) -> tuple[Clause, str]:
    """An action, and an adjective of its `part` (subject or object) that explains it."""
    reasons, subject = TABLES["reasons"][part], some_subject(dice)
    verb = dice.pick([v for v in verbs_for(subject.referent.noun) if v.name in reasons])
    clause = act(dice, subject, verb)
    if clause.tense in MODALS:
        wanted = verb.name in ("sleep", "eat", "drink", "buy", "sell")
        clause.tense = "want" if wanted else "past"
    add_place(dice, clause, 0.1)
    add_relative(dice, subject, verb, 0.06 * rich)
    return clause, dice.pick(reasons[verb.name].split())


def with_reason(dice: Dice, inner: bool = False, rich: int = 1) -> Clause:
    """The man buys the bread because it is fresh; the boy does not sleep although he is tired."""
    of_object = dice.chance(0.45)
    clause, why = explained(dice, "object" if of_object else "subject", rich)
    if not of_object and not inner and clause.subject.noun and dice.chance(0.3):
        return condition(dice, clause, why)
    reason = describe(dice, pronoun(clause.objects[-1] if of_object else clause.subject), why)
    reason.tense = "past" if clause.tense == "past" else "present"
    if not of_object and dice.chance(0.3):
        negate(dice, clause, 1.0)
    return join(clause, "although" if clause.negated else "because", reason)


def condition(dice: Dice, clause: Clause, why: str) -> Clause:
    """When the dog is hungry, it eats meat."""
    state = describe(dice, clause.subject, why)
    clause.subject = pronoun(clause.subject)
    clause.tense = state.tense = "present"
    return join(clause, "when", state, first=True)


def join(clause: Clause, conjunction: str, other: Clause, first: bool = False) -> Clause:
    clause.conjunction, clause.joined, clause.joined_first = conjunction, other, first
    return clause


# %%
def couple(dice: Dice, pairs: list[str]) -> tuple[Clause, Clause]:
    """Two actions of one subject on one object, which is a pronoun the second time."""
    first, second = dice.pick(pairs).split(", ")
    subject = some_subject(dice, PERSON if dice.chance(0.8) else None)
    actions = {verb.name: verb for verb in verbs_for(subject.referent.noun)}
    require(first in actions and second in actions)
    clause, verb = act(dice, subject, actions[first]), actions[second]
    thing = clause.objects[-1]
    require(thing.noun and thing.determiner != "every")
    require(any(thing.is_a(kind) for kind in verb.objects[-1][1]))
    return clause, Clause(pronoun(subject), verb, [pronoun(thing)])


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


# %%
def with_while(dice: Dice, inner: bool = False, rich: int = 1) -> Clause:
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


def with_that(dice: Dice, inner: bool = False, rich: int = 1) -> Clause:
    """The boy hopes that his mother will come back."""
    subject = some_subject(dice, PERSON if dice.chance(0.7) else None, inner)
    options = verbs_for(subject.referent.noun, "that")
    require(options and subject.determiner not in UNCLEAR)
    clause = Clause(subject, dice.pick(options))
    if clause.verb.english == "say" and dice.chance(0.5):
        clause.tense = "past"
    about_itself = dice.chance(0.25)
    said = content(dice, pronoun(subject) if about_itself else None, rich)
    require(said.verb is not clause.verb and credible(clause, said, about_itself))
    doubtful = clause.verb.english in ("know", "believe", "say") and clause.tense == "present"
    join(clause, "that", said)
    if doubtful and not about_itself and subject.pronoun not in ("I", "we"):
        negate(dice, clause, 0.2)
    return clause


# %%
Maker = Callable[..., Clause]


def content(dice: Dice, subject: Phrase | None, rich: int) -> Clause:
    """What is said, known, believed or hoped."""
    makers: dict[Maker, int] = {
        simple: 80 // rich, with_reason: 10 * rich, with_while: 4 * rich, with_that: 4 * rich,
    }  # fmt: skip
    make = dice.weighted(makers)
    if make is simple:
        return simple(dice, subject, inner=True, rich=rich)
    return make(dice, inner=True, rich=rich)


def credible(clause: Clause, said: Clause, about_itself: bool) -> bool:
    """People hope for what will be, and need not be told what they are doing."""
    if clause.tense == "past":
        return said.tense == "past"
    if clause.verb.english == "hope":
        dear = said.subject.is_a("person") or said.subject.is_a("pet")
        return dear and said.tense in ("can", "will") and not said.negated
    return not about_itself or said.verb is BE or said.tense in ("can", "must", "should", "past")


def some_sentence(dice: Dice, rich: int = 1) -> Clause:
    """A sentence of any kind; `rich` ones have more clauses."""
    makers: dict[Maker, int] = {
        simple: 50 // rich, with_reason: 14, with_that: 11 * rich, with_but: 8, with_and: 7,
        with_while: 6, with_before: 4,
    }  # fmt: skip
    return dice.weighted(makers)(dice, rich=rich)


# %%
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
