"""Rules of grammar as links between words, and how often a head follows them."""

from itertools import chain

import pytest
import torch
from torch.testing import assert_close

from annotated.data import toy
from annotated.evidence.alignment import largest, link_matrix
from annotated.evidence.roles import RULES, even, offset, share, tags


def pair_with(english: str) -> toy.Pair:
    """The first pair of the grammar whose English has these words in a row."""
    pairs = chain.from_iterable(toy.splits().values())
    return next(pair for pair in pairs if f" {english} " in f" {pair.english} ")


def named(rule, pair):
    """A rule's links, by their words."""
    side, links = RULES[rule]
    words = pair.source if side == "encoder" else pair.target
    return [(words[i], words[j]) for i, j in sorted(links(pair))]


def test_each_rule_by_a_sentence():
    pair = pair_with("expensive clock because it was broken.")
    assert pair.german == "Die Frau hat die teure Uhr repariert, weil sie kaputt war."
    assert named("personal pronoun → noun", pair) == [("it", "clock")]
    assert named("personal pronoun → another noun", pair) == [("it", "woman")]
    assert named("personal pronoun → noun (German)", pair) == [("sie", "Uhr")]
    assert named("article → noun", pair) == [("The", "woman"), ("the", "clock")]
    assert not named("prefix → verb", pair) and not named("possessive → owner", pair)
    pair = pair_with("baker who paints the picture sends his")
    assert named("relative pronoun → noun", pair) == [("who", "baker")]
    assert named("possessive → owner", pair) == [("his", "baker")]
    assert not named("personal pronoun → noun", pair)
    pair = pair_with("but she does not close them.")
    assert named("prefix → verb", pair) == [("auf", "macht"), ("zu", "macht")]
    pair = pair_with("neighbor falls asleep because he is sick.")
    assert pair.german.endswith("Nachbar schläft ein, weil er krank ist.")
    others = [
        ", schläft",
        "weil schläft",
        "er schläft",
        "krank schläft",
        "ist schläft",
        ". schläft",
    ]
    assert named("another word → that verb", pair) == [tuple(each.split()) for each in others]


def test_neighbours():
    pair = toy.splits()["test"][0]
    before, after = named("previous word", pair), named("next word", pair)
    assert before == [*zip(pair.source[1:], pair.source, strict=False)]
    assert after == [*zip(pair.source, pair.source[1:], strict=False)]


def test_a_preposition_is_no_prefix():
    pairs = toy.splits()["train"][:3000]
    _, links = RULES["prefix → verb"]
    found = [(p.target[i], p.target[j], i - j) for p in pairs for i, j in links(p)]
    assert len(found) > 100 and all(apart > 0 for *_, apart in found)
    mit = [p for p in pairs if "mit" in p.target and "kommt" not in p.target and not links(p)]
    assert mit  # "with", and no part of a verb


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_names_words_that_can_be_seen(rule):
    side, links = RULES[rule]
    for pair in toy.splits()["validation"]:
        words = pair.source if side == "encoder" else pair.target
        for i, j in links(pair):
            assert i != j and 0 <= i < len(words) and 0 <= j < len(words)
            assert side == "encoder" or j < i


def test_there_is_a_tag_for_each_word():
    for pair in toy.splits()["validation"]:
        assert len(tags(pair)) == len(pair.source)


def test_a_share_by_hand():
    rule = link_matrix([(0, 1), (2, 0), (2, 1)], 3, 3)  # two words have something to look at
    weights = torch.tensor([[0.1, 0.8, 0.1, 0.0], [0.2, 0.3, 0.4, 0.1], [0.2, 0.3, 0.1, 0.4]])
    assert share([largest(weights)], [rule]).item() == 0.5  # the last looks at the mark
    assert share([weights], [rule]).item() == pytest.approx((0.8 + 0.5) / 2)
    both = torch.stack([weights, torch.eye(4)[[3, 3, 3]]])  # the second always at the mark
    assert share([largest(both)] * 2, [rule, rule]).tolist() == [0.5, 0.0]


def test_nothing_to_look_at_is_said():
    with pytest.raises(ValueError, match="^no sentence has a word that the rule is about$"):
        share([torch.ones(1, 2)], [torch.zeros(1, 1, dtype=torch.bool)])


@pytest.mark.parametrize(
    "look, seen", [("encoder", 4), ("decoder, reading", 3), ("decoder, writing", 2)]
)
def test_even_weights_are_on_what_can_be_seen(look, seen):
    weights = even(look, 3)  # (3, 4)
    assert_close(weights.sum(-1), torch.ones(3))
    assert weights[1].gt(0).sum() == seen
    assert weights[:, -1].gt(0).all()


def test_an_offset():
    assert offset(3, -1).nonzero().tolist() == [[1, 0], [2, 1]]
    assert offset(3, 2).nonzero().tolist() == [[0, 2]]
    assert offset(2, 5).shape == (2, 3) and not offset(2, 5).any()
