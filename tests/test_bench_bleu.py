"""tools.bench bleu: how far a score moves when the sentences are drawn anew."""

import random

import pytest

from annotated.data import toy
from tools.bench.bleu import intervals


def spoiled(lines, rate, seed):
    """Each word becomes another with this probability."""
    dice = random.Random(seed)
    return [" ".join("x" if dice.random() < rate else word for word in x.split()) for x in lines]


def test_four_times_as_many_sentences_halve_the_interval():
    references = [pair.german for pair in toy.generate(1600, seed=3)]
    systems = {"perfect": references, "faulty": spoiled(references, 0.2, seed=1)}
    many = intervals(systems, references)
    few = intervals({name: x[:400] for name, x in systems.items()}, references[:400])
    assert many["perfect"] == pytest.approx(0, abs=1e-6)
    assert few["faulty"] / many["faulty"] == pytest.approx(2, rel=0.25)


def test_case_and_quotes_do_not_count():
    references = [f"Er sagt: „{pair.german}“" for pair in toy.generate(100, seed=3)]
    faulty = spoiled(references, 0.2, seed=1)
    plain = [line.lower().replace("„", '"').replace("“", '"') for line in faulty]
    found = intervals({"faulty": faulty, "plain": plain}, references)
    assert found["faulty"] == pytest.approx(found["plain"]) and found["plain"] > 1
