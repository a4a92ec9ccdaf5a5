# Tangled from chapters/evidence/what-heads-do.md: change it there, then run `make tangle`.
"""Does a head do what a rule of grammar says? Rules as links between words (Section 4)."""

import re
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from annotated.data.toy.lexicon import VERBS
from annotated.data.toy.pairs import Pair
from annotated.evidence.alignment import link_matrix

Link = tuple[int, int]  # a word, and the one that it should look at
NOUNS = ("NN", "NNS", "NNP")
PREFIXES = {verb.prefix for verb in VERBS if verb.prefix}


def tags(pair: Pair) -> list[str]:
    """The part of speech of each source word, as the Penn Treebank names it."""
    return re.findall(r"\((\S+) [^()]+\)", pair.tree)


def anaphors(*kinds: str) -> Callable[[Pair], set[Link]]:
    """A source pronoun of these kinds, and the noun that it stands for."""
    return lambda pair: {(i, j) for i, j in pair.source_antecedents if tags(pair)[i] in kinds}


def other_nouns(pair: Pair) -> set[Link]:
    """A source's personal pronoun, and every noun that it does not stand for: a wrong rule."""
    right, found = anaphors("PRP")(pair), tags(pair)
    nouns = [j for j, tag in enumerate(found) if tag in NOUNS]
    return {(i, j) for i in {i for i, _ in right} for j in nouns} - right


def german_pronouns(pair: Pair) -> set[Link]:
    """A target word that translates a personal pronoun, and the noun that it stands for."""
    personal = {j for i, j in pair.alignment if tags(pair)[i] == "PRP"}
    return {(i, j) for i, j in pair.antecedents if i in personal}


def articles(pair: Pair) -> set[Link]:
    """An article, and the noun that ends its phrase: the next one."""
    nouns = [i for i, tag in enumerate(tags(pair)) if tag in NOUNS]
    found = [i for i, tag in enumerate(tags(pair)) if tag == "DT"]
    return {(i, min(j for j in nouns if j > i)) for i in found}


def prefixes(pair: Pair) -> set[Link]:
    """A prefix that stands alone, and its verb before it, which answers to the same words."""
    sources = [{i for i, j in pair.alignment if j == place} for place in range(len(pair.target))]
    alone = [j for j, word in enumerate(pair.target) if word in PREFIXES]
    return {(j, verb) for j in alone for verb in range(j) if sources[verb] == sources[j]}


def no_prefixes(pair: Pair) -> set[Link]:
    """Every other word after such a verb, and the verb: a wrong rule."""
    right = prefixes(pair)
    after = [(j, verb) for _, verb in right for j in range(verb + 1, len(pair.target))]
    return {(j, verb) for j, verb in after if j not in {prefix for prefix, _ in right}}


def neighbours(side: str, apart: int) -> Callable[[Pair], set[Link]]:
    """Every word, and the one so many places further on."""

    def links(pair: Pair) -> set[Link]:
        places = range(len(getattr(pair, side)))
        return {(i, i + apart) for i in places if i + apart in places}

    return links


RULES: dict[str, tuple[str, Callable[[Pair], set[Link]]]] = {  # whose heads, and the links
    "personal pronoun → noun": ("encoder", anaphors("PRP")),
    "personal pronoun → another noun": ("encoder", other_nouns),
    "possessive → owner": ("encoder", anaphors("PRP$")),
    "relative pronoun → noun": ("encoder", anaphors("WP", "WDT")),
    "article → noun": ("encoder", articles),
    "previous word": ("encoder", neighbours("source", -1)),
    "next word": ("encoder", neighbours("source", 1)),
    "prefix → verb": ("decoder", prefixes),
    "another word → that verb": ("decoder", no_prefixes),
    "personal pronoun → noun (German)": ("decoder", german_pronouns),
    "previous word (German)": ("decoder", neighbours("target", -1)),
}


def rule_matrix(rule: str, pair: Pair) -> Tensor:
    """The links of a rule in a sentence, (words, words)"""
    side, links = RULES[rule]
    words = len(pair.source if side == "encoder" else pair.target)
    return link_matrix(links(pair), words, words)


def share(found: Iterable[Tensor], rules: Iterable[Tensor]) -> Tensor:
    """Of the words that a rule is about, the share that looks where it says.

    found (..., words, words + 1), as `largest` makes it of `word_weights`, and rules
    (words, words) of each sentence -> (...). Weights may stand for links. ValueError: no such word.
    """
    right, asked = torch.tensor(0.0), 0
    for each, rule in zip(found, rules, strict=True):
        right = right + (each[..., :-1] * rule).sum((-2, -1))
        asked += int(rule.any(-1).sum())
    if not asked:
        raise ValueError("no sentence has a word that the rule is about")
    return right / asked


def even(look: str, words: int) -> Tensor:
    """Equal weight on all that a word sees: (words, words + 1)"""
    seen = torch.ones(words, words + 1)
    if look != "encoder":  # the words before it and [begin]; itself only where it is read
        seen[:, :-1] = seen[:, :-1].tril(0 if look == "decoder, reading" else -1)
    return seen / seen.sum(-1, keepdim=True)


def offset(words: int, apart: int) -> Tensor:
    """A head that looks so many places further on, and nowhere else: (words, words + 1)"""
    found = torch.zeros(words, words + 1, dtype=torch.bool)
    found[:, :-1] = torch.ones(words, words).triu(apart).tril(apart)
    return found
