"""tools.bench bleu: how far a score moves when the sentences are drawn anew."""

import random

import pytest

from annotated.cli.translator import PRETRAINED
from annotated.data import toy
from tools.bench.bleu import drawn_anew, intervals, told_apart


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


def test_a_large_difference_is_no_chance_and_a_small_one_is():
    references = [pair.german for pair in toy.generate(200, seed=3)]
    rates = {"one": (0.2, 1), "worse": (0.4, 1), "alike": (0.2, 2)}
    systems = {name: spoiled(references, *how) for name, how in rates.items()}
    _, worse, alike = drawn_anew(systems, references)
    assert worse.p_value < 0.01 and alike.p_value > 0.05


def test_two_models_are_told_apart_by_the_search_of_the_published_mark(tmp_path):
    other = tmp_path / "other"
    other.symlink_to(PRETRAINED)
    pairs = [("Two dogs are playing.", "Zwei Hunde spielen."), ("A man.", "Ein Mann.")]
    one, two = told_apart([PRETRAINED, other], pairs)
    assert (one["model"], two["model"]) == ("pretrained", "other")
    assert one["BLEU"] == two["BLEU"] and one["p"] is None and 0 < two["p"] <= 1
