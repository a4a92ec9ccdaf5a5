# Tangled from chapters/reference/toy-grammar.md: change it there, then run `make tangle`.
"""Noun phrases that make sense, drawn from one stream of random numbers."""

import random
from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar

from annotated.data.toy.lexicon import WORLD, Kinds, Noun, Verb, adjectives_for, nouns_of
from annotated.data.toy.syntax import PERSON, Phrase

T = TypeVar("T")
ANIMAL, NAME, OWNED = (frozenset(kinds.split()) for kinds in ("animal", "name", WORLD["owned"]))


class Dice(random.Random):
    """Choices that use random() alone, which is the same on every platform."""

    def chance(self, probability: float) -> bool:
        return self.random() < probability

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.random() * len(options))]

    def weighted(self, options: dict[T, int]) -> T:
        at = self.random() * sum(options.values())
        ends = zip(options, accumulate(options.values()), strict=True)
        return next(option for option, end in ends if at < end)


class Nonsense(Exception):
    """A half-made sentence that cannot be finished sensibly: it is dropped and made anew."""


def require(condition: object) -> None:
    if not condition:
        raise Nonsense


def some_phrase(dice: Dice, noun: Noun, subject: Phrase | None = None) -> Phrase:
    """A phrase with this noun; that of an object may belong to the `subject`."""
    phrase = Phrase(noun)
    if phrase.is_a("name"):
        return phrase
    phrase.plural = bool(noun.german[1]) and dice.chance(0.22)
    phrase.determiner = some_determiner(dice, phrase, subject)
    phrase.owner = subject if phrase.determiner == "own" else None
    if dice.chance(0.15 if phrase.is_a("kin") else 0.32) and adjectives_for(noun.kinds):
        phrase.adjective = dice.pick(adjectives_for(noun.kinds))
    return phrase


def some_determiner(dice: Dice, phrase: Phrase, subject: Phrase | None) -> str:
    """The, a, my, its ... in sensible proportions: how often depends on the noun."""
    owned = bool(phrase.kinds & OWNED)
    own = 10 if subject and owned and may_own(subject, phrase) else 0
    bare = 20 if subject else 0
    if phrase.is_a("kin"):
        return dice.weighted({"my": 8, "our": 4, "own": 2 * own})
    if phrase.is_a("mass"):
        return dice.weighted({"": 5 * bare, "the": 80, "this": 12, "own": 2 * own})
    if phrase.plural:
        weights = {"the": 50, "": bare, "two": 8, "three": 6, "many": 6, "these": 6}
    else:
        weights = {"the": 56, "a": 16 + bare, "this": 6, "every": 0 if subject else 4}
    return dice.weighted(weights | {"my": 6 * owned, "our": 6 * owned, "own": own})


def may_own(subject: Phrase, phrase: Phrase) -> bool:
    """Not a girl (her: grammar says sein, people say ihr), nor an animal its uncle."""
    if subject.pronoun in ("I", "we", "relative") or subject.is_a("girl"):
        return False
    return subject.is_a("person") or not phrase.is_a("kin")


def some_place(dice: Dice, noun: Noun) -> Phrase:
    """A known place: the old garden, our kitchen."""
    phrase = Phrase(noun)
    if noun.kinds & OWNED and dice.chance(0.2):
        phrase.determiner = dice.pick(("my", "our"))
    if adjectives_for(noun.kinds) and dice.chance(0.2):
        phrase.adjective = dice.pick(adjectives_for(noun.kinds))
    return phrase


def some_subject(dice: Dice, among: Kinds | None = None, inner: bool = False) -> Phrase:
    """Somebody who does something. An `inner` clause has he, she or they only for a noun."""
    if not among and dice.chance(0.16):
        return Phrase(pronoun=dice.pick(("I", "we") if inner else ("I", "we", "he", "she", "they")))
    phrase = some_phrase(
        dice, dice.pick(nouns_of(among or dice.weighted({PERSON: 72, ANIMAL: 28})))
    )
    if phrase.is_a("name") and dice.chance(0.2):
        phrase.conjunct = Phrase(dice.pick([n for n in nouns_of(NAME) if n is not phrase.noun]))
    return phrase


def some_object(dice: Dice, subject: Phrase, verb: Verb, among: Kinds) -> Phrase:
    """Somebody or something else, of these kinds."""
    noun = dice.pick(nouns_of(among))
    speaks = subject.pronoun in ("I", "we")
    if "place" in noun.kinds:
        phrase = some_place(dice, noun)
    elif not speaks and "person" in noun.kinds and dice.chance(0.12):
        phrase = Phrase(pronoun=dice.pick(("I", "we")))
    else:
        phrase = some_phrase(dice, noun, subject)
    creative, adjective = "creative" in verb.kinds, phrase.adjective
    mine = phrase.determiner in ("my", "our", "own")
    require(not creative or not adjective or adjective.english in WORLD["new"])
    require(not mine or not (creative or verb.name == "buy"))  # who buys what is theirs?
    require(noun is not subject.referent.noun)
    require(phrase.determiner != {"I": "our", "we": "my"}.get(subject.pronoun))
    return phrase
