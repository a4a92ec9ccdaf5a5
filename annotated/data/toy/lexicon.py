"""The words of the toy language, and what it knows of the world: both stand in lexicon.toml."""

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

TABLES = tomllib.loads(
    resources.files("annotated.data.toy").joinpath("lexicon.toml").read_text("utf8")
)
WORLD: dict[str, Any] = TABLES["world"]


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


@dataclass(frozen=True, eq=False)
class Noun:
    """A noun, or a name: `english` and `german` are (singular, plural)."""

    english: tuple[str, str]
    german: tuple[str, str]  # the plural is empty where it is not used
    gender: str  # "m", "f" or "n"
    kinds: frozenset[str]
    prepositions: tuple[str, ...]  # of a place: English, German, German for the way there


def read_noun(english: str, german: str, kinds: str, prepositions: str = "") -> Noun:
    """A line of the lexicon's nouns: read_noun("man, men", "der Mann, Männer", "person adult")."""
    singular, plural = (english.split(", ") + [english + "s"])[:2]
    article, _, forms = german.partition(" ")
    one, many = (forms.split(", ") + [""])[:2]
    gender = {"der": "m", "die": "f", "das": "n"}[article]
    places = tuple(prepositions.split(", ")) if prepositions else ()
    return Noun((singular, plural), (one, many), gender, words(kinds) | {singular}, places)


# %%
@dataclass(frozen=True, eq=False)
class Adjective:
    english: str
    german: str
    kinds: frozenset[str]  # of the nouns that it fits


@dataclass(frozen=True, eq=False)
class Adverbial:
    """When something happens: often, every day."""

    english: list[Any]  # a tree: ["NP", ["DT", "every"], ["NN", "day"]]
    german: tuple[str, ...]
    links: list[list[int]]  # the English words that each German one stands for
    tenses: frozenset[str]
    middle: bool  # English puts it before the verb, not at the end
    negative: bool


def read_adverbial(
    english: list[Any],
    german: str,
    tenses: str,
    links: list[list[int]] | None = None,
    middle: bool = False,
    negative: bool = False,
) -> Adverbial:
    forms = tuple(german.split())
    links = links or [[i] for i in range(len(forms))]
    return Adverbial(english, forms, links, words(tenses), middle, negative)


# %%
@dataclass(frozen=True, eq=False)
class Verb:
    """A verb with its forms, and with what may stand beside it."""

    english: str
    past: str
    particle: str  # get up, look for
    infinitive: str  # without its prefix
    present: tuple[str, ...]  # with ich, er and wir
    participle: str
    auxiliary: str  # of the perfect: haben or sein
    prefix: str  # of a separable verb: auf in aufstehen
    subjects: frozenset[str]
    objects: tuple[tuple[str, frozenset[str]], ...]  # (how German marks it, kinds of noun)
    complement: str  # "that" for a clause, "adjective", or nothing
    places: frozenset[str]
    kinds: frozenset[str]

    @property
    def name(self) -> str:
        return f"{self.english} {self.particle}".strip()


# %%
def read_verb(
    english: str,
    german: str,
    subjects: str,
    objects: dict[str, str] | None = None,
    complement: str = "",
    places: str = "",
) -> Verb:
    name, _, past = english.partition(", ")
    base, _, particle = name.partition(" ")
    infinitive, third, participle = german.split(", ")
    third, _, prefix = third.partition(" ")
    infinitive = infinitive.removeprefix(prefix)
    first = infinitive[:-1] if infinitive.endswith("en") else infinitive[:-1] + "e"
    return Verb(
        base, past.split()[0] if past else suffixed(base, "ed"), particle,
        infinitive, IRREGULAR.get(infinitive, (first, third, infinitive)),
        participle.removeprefix("ist "), "sein" if participle.startswith("ist ") else "haben",
        prefix, words(subjects),
        tuple((mark, words(kinds)) for mark, kinds in (objects or {}).items()),
        complement, words(places),
        frozenset(kind for kind, names in TABLES["verb_kinds"].items() if name in names),
    )  # fmt: skip


# %%
def suffixed(verb: str, ending: str) -> str:
    """An English verb with -s, -ed or -ing: cry, cries; bake, baking; swim, swimming."""
    changes = verb[-1] == "y" and verb[-2] not in "aeou"
    if ending == "s" and verb.endswith(("s", "sh", "ch", "x", "o")):
        return verb + "es"
    if ending != "ing" and changes:
        return verb[:-1] + ("ies" if ending == "s" else "ied")
    if ending != "s" and verb.endswith("e"):
        return verb[:-1] + ending
    if ending != "s" and verb in ("get", "put", "run", "swim", "forget"):
        verb += verb[-1]
    return verb + ending


def forms(table: str) -> dict[str, tuple[str, ...]]:
    """A table of verb forms with ich, er and wir."""
    return {name: tuple(row.split(", ")) for name, row in TABLES[table].items()}


# %%
IRREGULAR, PRETERITE, MODALS = forms("present"), forms("preterite"), forms("modals")
NOUNS = [read_noun(**entry) for entry in TABLES["nouns"]]
ADJECTIVES = [Adjective(e["english"], e["german"], words(e["kinds"])) for e in TABLES["adjectives"]]
VERBS = [read_verb(**entry) for entry in TABLES["verbs"]]
ADVERBIALS = [read_adverbial(**entry) for entry in TABLES["adverbials"]]
BE = VERBS[-1]
