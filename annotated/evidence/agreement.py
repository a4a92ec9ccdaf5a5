# Tangled from chapters/evidence/recurrent-translation.md: change it there, then run `make tangle`.
"""Which word agrees with which? Sentences with one wrong word, for a translator (Section 4)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from annotated.data import toy
from annotated.data.batching import collate, encode_pairs
from annotated.data.tokenizer import PAD, Tokenizer
from annotated.data.toy.german import german_clause, tidied
from annotated.data.toy.pairs import positions
from annotated.data.toy.sentences import walk
from annotated.data.toy.syntax import PRONOUNS, Clause, Phrase


class Contrast(NamedTuple):
    """A translation, and the same with one wrong word."""

    kind: str  # the word: "verb", with the number of its subject, or "pronoun", with a gender
    distance: int  # in words of the German, from the noun that it agrees with
    source: str
    right: str
    wrong: str


class OtherNumber(Phrase):
    """A subject that its verb takes for plural where it is singular, and the other way round."""

    @property
    def agreement(self) -> int:
        """The form of its verb."""
        return 1 if super().agreement == 2 else 2


GENDERS = [type("OfGender", (Phrase,), {"gender": gender}) for gender in "mfn"]


@contextmanager
def misread(phrase: Phrase, kind: type[Phrase]) -> Iterator[None]:
    """Inside, the phrase is of another kind."""
    phrase.__class__ = kind
    try:
        yield
    finally:
        phrase.__class__ = Phrase


def contrasts(clause: Clause) -> Iterator[Contrast]:
    """Every subject with the verb of the other number, every pronoun with the other genders."""
    right, places = toy.spell(clause), positions(tidied(german_clause(clause)))
    for part, phrase in walk(clause):
        pronoun = phrase.pronoun in PRONOUNS and not phrase.number
        noun = phrase.antecedent if pronoun else phrase
        if noun and noun.noun and (pronoun or phrase is part.subject):
            for kind in GENDERS if pronoun else [OtherNumber]:
                with misread(phrase, kind):
                    wrong = toy.spell(clause)
                pairs = enumerate(zip(right.target, wrong.target, strict=True))
                different = [i for i, (one, other) in pairs if one != other]
                if len(different) == 1:  # some forms are the same, or two words change
                    distance = abs(different[0] - places[noun, "noun"][0])
                    name = "pronoun" if pronoun else "verb"
                    yield Contrast(name, distance, right.english, right.german, wrong.german)


@torch.no_grad()
def log_probabilities(
    model: Any, tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], size: int = 100
) -> list[float]:
    """Of each target, given its source, in nats; `size` pairs are read at once."""
    model.eval()
    encoded = encode_pairs(pairs, tokenizer)
    found = []
    for start in range(0, len(encoded), size):
        source, target_in, target = collate(encoded[start : start + size])  # (B, S), (B, T) twice
        each = model(source, target_in).log_softmax(-1).gather(2, target[..., None])  # (B, T, 1)
        found += each.squeeze(2).masked_fill(target == PAD, 0.0).sum(1).tolist()
    return found


def preferred(model: Any, tokenizer: Tokenizer, tests: Sequence[Contrast]) -> list[bool]:
    """For each test whether the model finds the right translation more probable than the wrong."""
    right = log_probabilities(model, tokenizer, [(test.source, test.right) for test in tests])
    wrong = log_probabilities(model, tokenizer, [(test.source, test.wrong) for test in tests])
    return [one > other for one, other in zip(right, wrong, strict=True)]
