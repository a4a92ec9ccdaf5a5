# Tangled from chapters/reference/toy-grammar.md: change it there, then run `make tangle`.
"""The words of the toy language, and what it knows of the world: both stand in lexicon.toml."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

FILE = resources.files("annotated.data.toy").joinpath("lexicon.toml")
TABLES: dict[str, Any] = tomllib.loads(FILE.read_text("utf8"))
WORLD = TABLES["world"]
Kinds = frozenset[str]


@dataclass(frozen=True, eq=False)
class Noun:
    """A noun, or a name: `english` and `german` are (singular, plural)."""

    english: tuple[str, str]
    german: tuple[str, str]  # the plural is empty where it is not used
    gender: str  # "m", "f" or "n"
    kinds: Kinds
    prepositions: Sequence[str]  # of a place: English, German, German for the way there


def read_noun(english: str, german: str, kinds: str, prepositions: Sequence[str] = ()) -> Noun:
    """A noun from its line: read_noun("man, men", "der Mann, Männer", "person adult")."""
    singular, plural = [*english.split(", "), english + "s"][:2]
    article, _, forms = german.partition(" ")
    one, many = [*forms.split(", "), ""][:2]
    gender = {"der": "m", "die": "f", "das": "n"}[article]
    own = frozenset([*kinds.split(), singular])
    return Noun((singular, plural), (one, many), gender, own, prepositions)


@dataclass(frozen=True, eq=False)
class Adjective:
    english: str
    german: str
    kinds: Kinds  # of the nouns that it fits


@dataclass(frozen=True, eq=False)
class Adverbial:
    """When something happens: often, every day."""

    english: list[Any]  # a tree: ["NP", ["DT", "every"], ["NN", "day"]]
    german: list[str]
    tenses: list[str]
    links: list[list[int]] | None = None  # the English words that each German one stands for
    middle: bool = False  # English puts it before the verb, not at the end
    negative: bool = False


@dataclass(frozen=True, eq=False)
class Verb:
    """A verb with its forms, and with what may stand beside it."""

    english: str
    past: str
    particle: str  # get up, look for
    infinitive: str  # without its prefix
    present: list[str]  # with ich, er and wir
    participle: str
    auxiliary: str  # of the perfect: haben or sein
    prefix: str  # of a separable verb: auf in aufstehen
    subjects: Kinds
    objects: list[tuple[str, Kinds]]  # how German marks it, kinds of noun
    complement: str  # "that" for a clause, "adjective", or nothing
    places: Kinds
    kinds: Kinds

    @property
    def name(self) -> str:
        return f"{self.english} {self.particle}".strip()


def read_verb(english: str, german: str, subjects: str, **beside: Any) -> Verb:
    """A verb from its line; `beside` it may stand objects, complement and places."""
    name, _, past = english.partition(", ")
    base, _, particle = name.partition(" ")
    infinitive, third, participle = german.split(", ")
    third, _, prefix = third.partition(" ")
    infinitive = infinitive.removeprefix(prefix)
    first = infinitive[:-1] + ("" if infinitive.endswith("en") else "e")  # schlafe, füttere
    objects = beside.get("objects", {}).items()
    return Verb(
        english=base,
        past=past.split()[0] if past else suffixed(base, "ed"),
        particle=particle,
        infinitive=infinitive,
        present=PRESENT.get(infinitive, [first, third, infinitive]),
        participle=participle.removeprefix("ist "),
        auxiliary="sein" if participle.startswith("ist ") else "haben",
        prefix=prefix,
        subjects=frozenset(subjects.split()),
        objects=[(mark, frozenset(kinds.split())) for mark, kinds in objects],
        complement=beside.get("complement", ""),
        places=frozenset(beside.get("places", "").split()),
        kinds=frozenset(kind for kind, names in TABLES["verb_kinds"].items() if name in names),
    )


def suffixed(verb: str, ending: str) -> str:
    """An English verb with -s, -ed or -ing: cry, cries; bake, baking; swim, swimming."""
    if ending == "s" and verb.endswith(("s", "sh", "ch", "x", "o")):
        return verb + "es"
    if ending != "ing" and verb[-1] == "y" and verb[-2] not in "aeou":
        return verb[:-1] + ("ies" if ending == "s" else "ied")
    if ending != "s" and verb.endswith("e"):
        return verb[:-1] + ending
    doubled = ending != "s" and verb in ("get", "put", "run", "swim", "forget")
    return verb + (verb[-1] if doubled else "") + ending


PRESENT, PRETERITE, MODALS = (TABLES[name] for name in ("present", "preterite", "modals"))
NOUNS = [read_noun(**line) for line in TABLES["nouns"]]
ADJECTIVES = [
    Adjective(line["english"], line["german"], frozenset(line["kinds"].split()))
    for line in TABLES["adjectives"]
]
VERBS = [read_verb(**line) for line in TABLES["verbs"]]
ADVERBIALS = [Adverbial(**line) for line in TABLES["adverbials"]]
BE = VERBS[-1]


@cache
def nouns_of(kinds: Kinds) -> list[Noun]:
    return [noun for noun in NOUNS if noun.kinds & kinds]


@cache
def verbs_for(kinds: Kinds, complement: str = "") -> list[Verb]:
    """The verbs that nouns of these kinds can be the subject of."""
    return [verb for verb in VERBS if verb.subjects & kinds and verb.complement == complement]


@cache
def adjectives_for(kinds: Kinds) -> list[Adjective]:
    return [adjective for adjective in ADJECTIVES if adjective.kinds & kinds]
