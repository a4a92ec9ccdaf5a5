"""The grammar: its probabilities by hand, and CKY against all trees that there are."""

import math
import random
from functools import cache

import numpy as np
import pytest

from annotated.evidence.bracketing import score
from annotated.evidence.grammar import (
    START,
    STOP,
    Blend,
    Grammar,
    Lexicon,
    Parser,
    right_branching,
    rules,
)
from annotated.evidence.trees import Tree, read_trees, treebank

BANK = list(
    read_trees(
        [
            "(S (NP (DT the) (NN dog)) (VP (VB sees) (NP (DT a) (NN bird))))",
            "(S (NP (DT the) (NN bird)) (VP (VB sings)))",
            "(S (NP (NN birds)) (VP (VB sing)))",
            "(NP (DT a) (JJ small) (NN bird))",
        ]
    )
)


def tree(text: str) -> Tree:
    [only] = read_trees([text])
    return only


def random_tree(rng: random.Random, label: str = "S", depth: int = 0) -> Tree:
    """Of the labels S and A, the tags x and y and the words a, b and c."""
    parts = []
    for _ in range(rng.choice((1, 2, 2, 3))):
        if depth < 3 and rng.random() < 0.5:
            parts.append(random_tree(rng, rng.choice("SA"), depth + 1))
        else:
            parts.append(Tree(rng.choice("xy"), (rng.choice("abc"),)))
    return Tree(label, tuple(parts))


def all_trees(words: tuple[str, ...], labels: str = "SA", tags: str = "xy") -> list[Tree]:
    """Every tree of the words in which no chain of single parts has a label twice."""

    @cache
    def over(start: int, end: int, above: frozenset[str]) -> list[Tree]:
        """Trees over a span; `above`: the labels of the chain that it ends."""
        found = [Tree(tag, (words[start],)) for tag in tags] if end - start == 1 else []
        for label in set(labels) - above:
            found += [Tree(label, (part,)) for part in over(start, end, above | {label})]
            found += [Tree(label, parts) for parts in several(start, end)]
        return found

    @cache
    def several(start: int, end: int) -> list[tuple[Tree, ...]]:
        """All ways to cut a span into two parts or more."""
        found = []
        for middle in range(start + 1, end):
            one = over(middle, end, frozenset())
            rests = [*((part,) for part in one), *several(middle, end)]
            found += [(head, *rest) for head in over(start, middle, frozenset()) for rest in rests]
        return found

    return [each for each in over(0, len(words), frozenset()) if not each.is_tag]


def test_right_branching():
    words, tags = "the dog sees a bird .".split(), "DT NN VB DT NN .".split()
    found = right_branching(words, tags, "S", "NP")
    assert str(found) == ("(S (DT the) (NP (NN dog) (NP (VB sees) (NP (DT a) (NN bird)))) (. .))")
    assert str(right_branching(["a", "b"], ["x", "y"], "S", "X")) == "(S (x a) (y b))"
    assert str(right_branching(["."], ["."], "S", "X")) == "(S (. .))"
    assert str(right_branching(["a", "."], ["x", "."], "S", "X")) == "(S (x a) (. .))"


def test_a_context_is_smoothed_by_a_more_general_one():
    blend = Blend(2.0)
    blend.counts["general"].update(a=3, b=1)
    blend.counts["special"].update(a=1, c=1)
    assert blend(["general"]) == {"a": 0.75, "b": 0.25}
    mixed = blend(["special", "general"])  # 2 seen, and 2 more as the general one has them
    assert mixed == pytest.approx({"a": (1 + 1.5) / 4, "b": 0.5 / 4, "c": 1 / 4})
    assert blend(["new", "general"]) == blend(["general"])
    assert Blend(1.0)(["new"]) == {}


def test_what_is_not_smoothed_is_counted():
    blend = Blend(0.0)
    blend.counts["general"].update(a=3, b=1)
    blend.counts["special"].update(a=1)
    assert blend(["special", "general"]) == {"a": 1.0, "b": 0.0}


def test_the_probability_of_a_tree_by_hand():
    """Without smoothing: of 3 noun phrases of a sentence each begins in its own way ..."""
    grammar = Grammar(BANK, smoothing=0, word_smoothing=0)
    # roots: S 3 of 4. S: NP, then VP, then no more. NP of 5: DT 4, then NN 3 of 4, then no more.
    # VP of 3: VB, then no more in 2 of 3. P(tag | word) is 1; P(tag): DT 4, NN 5, VB 3 of 13.
    found = grammar.log_probability(tree("(S (NP (DT the) (NN dog)) (VP (VB sings)))"))
    by_hand = 3 / 4 * (4 / 5 * 3 / 4) * (2 / 3) * (13 / 4) * (13 / 5) * (13 / 3)
    assert math.exp(found) == pytest.approx(by_hand)


@pytest.mark.parametrize("parents", [False, True])
def test_what_may_come_next_sums_to_one(parents):
    grammar = Grammar(BANK, parents, often=1)
    for symbol in grammar.symbols[len(grammar.lexicon.tags) :]:
        for before in [START, *grammar.steps.counts[symbol[0]].keys() - {STOP}]:
            after = grammar.after(symbol, before)
            assert sum(after.values()) == pytest.approx(1)
            assert before != START or STOP not in after


def test_parents_tell_labels_apart():
    found = dict(rules(tree("(S (NP (NN a)) (VP (VB b) (NP (NN c))))"), parents=True))
    assert found == {
        ("S", ""): [("NP", "S"), ("VP", "S")],
        ("NP", "S"): [("NN", None)],
        ("VP", "S"): [("VB", None), ("NP", "VP")],
        ("NP", "VP"): [("NN", None)],
    }


def test_a_rare_parent_is_forgotten():
    grammar = Grammar(BANK, parents=True, often=3)  # NP: in S three times, in VP and alone once
    assert {s for s in grammar.symbols if s[0] == "NP"} == {("NP", "S"), ("NP", "")}


@pytest.mark.parametrize("parents", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_best_tree_is_the_best_of_all(seed, parents):
    rng = random.Random(seed)
    bank = [random_tree(rng) for _ in range(12)] + [Tree("S", (Tree("A", (Tree("x", ("a",)),)),))]
    grammar = Grammar(bank, parents, smoothing=rng.choice((0.5, 5.0)), often=1 + seed % 3)
    words = tuple(rng.choice("abc") for _ in range((3, 2, 1, 3)[seed]))
    found = Parser(grammar).parse(words)
    grammar.after = cache(grammar.after)
    with np.errstate(divide="ignore"):
        every = [(grammar.log_probability(each), each) for each in all_trees(words)]
    best, _ = max(every, key=lambda each: each[0])
    assert found.log_probability == pytest.approx(best, abs=1e-4)
    assert grammar.log_probability(found.tree) == pytest.approx(best, abs=1e-4)
    near = [each for p, each in every if p > best - 1e-4]
    assert found.tree in near and found.tree.leaves() == list(words)


def test_chains_of_single_parts_are_found():
    """The word a is only ever below S, A and x, in that order."""
    bank = [tree("(S (A (B (x a))))"), tree("(S (A (B (x a))) (y b))")]
    found = Parser(Grammar(bank)).parse(["a"])
    assert str(found.tree) == str(bank[0])


def test_a_known_word_has_its_tags_first():
    lexicon = Lexicon(BANK, 1.0)
    assert lexicon.best("the") == "DT" and lexicon.best("bird") == "NN"
    scores = dict(zip(lexicon.tags, lexicon.scores("the"), strict=True))
    # seen twice, thus as rare as unknown ones: all other tags are possible, none is likely
    assert max(scores, key=scores.get) == "DT" and min(scores.values()) > -math.inf


def test_an_unknown_word_goes_by_its_end_and_its_shape():
    rows = ["walking", "talking", "singing"], ["Anna", "Bertha", "Carla"], ["B2", "X3", "C4"]
    lines = [
        f"(S ({tag} {word}))"
        for tag, row in zip(("VBG", "NNP", "CD"), rows, strict=True)
        for word in row
    ]
    lexicon = Lexicon(list(read_trees(lines)), 1.0)
    assert [lexicon.best(word) for word in ("ringing", "Dora", "K9")] == ["VBG", "NNP", "CD"]


def test_without_smoothing_there_are_sentences_without_a_tree():
    words = "small birds sing".split()  # no noun phrase began with an adjective
    assert Parser(Grammar(BANK, smoothing=0, word_smoothing=0)).parse(words) is None
    found = Parser(Grammar(BANK)).parse(words)
    assert str(found.tree) == "(S (NP (JJ small) (NN birds)) (VP (VB sing)))"
    strange = "what on earth is this".split()
    assert Parser(Grammar(BANK)).parse(strange).tree.leaves() == strange


def test_toy_sentences_are_parsed_well():
    bank = treebank("toy")
    parser = Parser(Grammar(bank["train"][:1000], parents=True))
    gold = bank["test"][:30]
    found = score(gold, [parser.parse(each.leaves()).tree for each in gold])
    assert found.errors == 0 and found.f1 > 90 and found.tagging > 95
