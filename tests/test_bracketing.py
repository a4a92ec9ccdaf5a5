"""Labelled brackets, on cases that are counted by hand, and against the C program evalb."""

import re
import shutil
import subprocess

import pytest

from annotated.evidence.bracketing import Brackets, compare, counted, score
from annotated.evidence.grammar import right_branching
from annotated.evidence.trees import Tree, read_trees, treebank


def tree(text: str) -> Tree:
    [only] = read_trees([text])
    return only


GOLD = tree("(S (NP (DT the) (NN dog)) (VP (VBZ sees) (NP (DT a) (NN bird))) (. .))")
FLAT = tree("(S (NP (DT the) (JJ dog)) (VP (VBZ sees)) (NP (DT a) (NN bird)) (. .))")


def test_the_brackets_of_a_tree():
    every = [True] * 6
    assert counted(GOLD, every) == {
        ("S", 0, 6): 1, ("NP", 0, 2): 1, ("VP", 2, 5): 1, ("NP", 3, 5): 1
    }  # fmt: skip
    assert ("S", 0, 5) in counted(GOLD, [True] * 5 + [False])


def test_a_tree_matches_itself():
    assert compare(GOLD, GOLD) == Brackets(1, 0, 4, 4, 4, 1, 5, 5)
    assert compare(GOLD, GOLD).f1 == 100


def test_a_verb_phrase_that_ends_too_early():
    """S, both noun phrases are right, and one of five words has another tag."""
    found = compare(GOLD, FLAT)
    assert found == Brackets(1, 0, 4, 4, 3, 0, 5, 4)
    assert found.precision == found.recall == found.f1 == 75
    assert found.complete == 0 and found.tagging == 80


@pytest.mark.parametrize(
    ("gold", "parsed", "counts"),  # of brackets: gold, found, matched
    [
        # a label twice over the same words counts as often as both have it
        ("(NP (NP (NN a)))", "(NP (NN a))", (2, 1, 1)),
        ("(NP (NP (NN a)))", "(NP (NP (NP (NN a))))", (2, 3, 2)),
        # in a unary chain the order does not count
        ("(S (VP (VB a)))", "(VP (S (VB a)))", (2, 2, 2)),
        # punctuation may stand in any bracket, and one with nothing else is gone
        ("(S (NP (NN a) (, ,)) (VP (VB b)))", "(S (NP (NN a)) (, ,) (VP (VB b)))", (3, 3, 3)),
        ("(S (PRN (: -)) (NP (NN a)))", "(S (: -) (NP (NN a)))", (2, 2, 2)),
        ("(S (`` x) (NP (NN a)) ('' x) (. .))", "(NP (S (`` x) (NN a) ('' x) (. .)))", (2, 2, 2)),
        # round brackets and hyphens are words
        ("(NP (NP (NN a)) (-LRB- x))", "(NP (NP (NN a) (-LRB- x)))", (2, 2, 1)),
        ("(NP (ADJP (NN a) (HYPH -)) (NN b))", "(NP (NN a) (ADJP (HYPH -) (NN b)))", (2, 2, 1)),
        # particles are adverbs, roots do not count
        ("(VP (VB a) (PRT (RP b)))", "(VP (VB a) (ADVP (RB b)))", (2, 2, 2)),
        ("(TOP (S (NN a)))", "(S (NN a))", (1, 1, 1)),
        ("( (S (NN a)) (NP (NN b)))", "(TOP (S (NN a)) (NP (NN b)))", (2, 2, 2)),
        # brackets that cross: the root alone is right
        (
            "(X (A (NN a) (NN b)) (B (NN c) (NN d)))",
            "(X (NN a) (A (NN b) (NN c)) (NN d))",
            (3, 2, 1),
        ),
        # the same words, another label
        ("(X (A (NN a)))", "(X (B (NN a)))", (2, 2, 1)),
        # function tags do not count
        ("(S (NP-SBJ-1 (NN a)) (VP=2 (VB b)))", "(S (NP (NN a)) (VP (VB b)))", (3, 3, 3)),
        # a tag is no bracket
        ("(NN a)", "(NN a)", (0, 0, 0)),
    ],
)
def test_cases_counted_by_hand(gold, parsed, counts):
    for strict in (False, True):
        found = compare(tree(gold), tree(parsed), strict)
        assert (found.gold, found.found, found.matched) == counts
        assert found.exact == (counts[0] == counts[1] == counts[2]) and not found.errors


def test_precision_and_recall_are_not_the_same_thing():
    found = compare(tree("(NP (NP (NN a)))"), tree("(NP (NP (NP (NN a))))"))
    assert found.recall == 100 and found.precision == pytest.approx(200 / 3)
    assert found.f1 == pytest.approx(80)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("parsed", ["(S (NN b) (. .))", "(S (NN a) (NN b))", "(S (. .))"])
def test_other_words_are_an_error_sentence(parsed, strict):
    gold = tree("(S (NN a) (. .))")
    assert compare(gold, tree(parsed), strict) == Brackets(1, errors=1)
    both = score([gold, GOLD], [tree(parsed), GOLD], strict)
    assert both == Brackets(2, 1, 4, 4, 4, 1, 5, 5) and both.complete == 100


def test_punctuation_with_a_wrong_tag_is_an_error_only_to_the_letter():
    """A tag of a word that is punctuation to one tree and not to the other."""
    gold, parsed = tree("(S (NN a) (: -) (NN b))"), tree("(S (NN a) (HYPH -) (NN b))")
    assert compare(gold, parsed, strict=True) == Brackets(1, errors=1)
    assert compare(parsed, gold, strict=True) == Brackets(1, errors=1)
    assert compare(gold, parsed) == Brackets(1, 0, 1, 1, 1, 1, 2, 2)
    assert compare(parsed, gold) == Brackets(1, 0, 1, 1, 1, 1, 3, 2)


def test_punctuation_that_one_tree_lacks_is_an_error_but_to_the_letter():
    gold, parsed = tree("(S (NN a) (. .))"), tree("(S (NN a))")
    assert compare(gold, parsed) == Brackets(1, errors=1)
    assert compare(gold, parsed, strict=True) == Brackets(1, 0, 1, 1, 1, 1, 1, 1)


def test_the_score_of_a_corpus_is_not_the_mean_over_its_sentences():
    """Two brackets of two, and one of four where three were found."""
    short = tree("(S (VP (VB a)))")
    long = tree("(X (A (NN a) (NN b)) (B (NN c) (NN d)) (C (NN e)))")
    wrong = tree(
        "(X (NN a) (D (NN b) (NN c)) (E (NN d) (NN e)) (F (NN d)))".replace("(F (NN d))", "")
    )
    both = score([short, long], [short, wrong])
    assert (both.gold, both.found, both.matched) == (6, 5, 3)
    assert both.f1 == pytest.approx(100 * 6 / 11)
    each = [compare(short, short).f1, compare(long, wrong).f1]
    assert each == [100, pytest.approx(100 * 2 / 7)]


def test_as_many_of_both():
    with pytest.raises(ValueError, match="1 gold trees and 2 parsed ones"):
        score([GOLD], [GOLD, GOLD])


def test_nothing_scores_nothing():
    nothing = score([], [])
    assert nothing == Brackets()
    assert nothing.f1 == nothing.precision == nothing.recall == nothing.complete == 0


def by_the_letter(line: str) -> tuple[list[list], list[str]]:
    """Brackets [label, start, end] and words of a line, read letter by letter as EVALB does it."""
    brackets, words, waiting = [], [], []
    for token in line.replace("(", " ( ").replace(")", " ) ").split():
        if token == "(":
            waiting.append([None, len(words), None])
        elif token == ")":
            bracket = waiting.pop()
            if len(bracket) == 3:
                bracket[2] = len(words)
                brackets.append(bracket)
        elif waiting[-1][0] is None:
            waiting[-1][0] = token
        else:  # a word: its bracket is a tag
            waiting[-1].append(token)
            if waiting[-1][0] not in (",", ":", "``", "''", "."):
                words.append(token)
    return [x for x in brackets if x[1] != x[2] and x[0] != "TOP"], words


def test_matching_one_by_one_agrees():
    """Toy trees and right-branching ones, brackets used up in turn, as the C program does."""
    gold = treebank("toy")["test_longer"][:60]
    parsed = [right_branching(each.leaves(), each.tags(), "S", "NP") for each in gold]
    parsed = [*gold[:10], *parsed[10:]]
    sums = [0, 0, 0, 0]
    for pair in zip(gold, parsed, strict=True):
        (ours, words), (theirs, others) = (by_the_letter(str(each)) for each in pair)
        assert words == others
        left, matched = list(theirs), 0
        for bracket in ours:
            if bracket in left:
                left.remove(bracket)
                matched += 1
        same = len(ours) == len(theirs) == matched
        sums = [a + b for a, b in zip(sums, (len(ours), len(theirs), matched, same), strict=True)]
    for strict in (False, True):
        found = score(gold, parsed, strict)
        assert [found.gold, found.found, found.matched, found.exact] == sums


COLLINS = """
DEBUG 0
MAX_ERROR 1000
CUTOFF_LEN 40
LABELED 1
DELETE_LABEL TOP
DELETE_LABEL -NONE-
DELETE_LABEL ,
DELETE_LABEL :
DELETE_LABEL ``
DELETE_LABEL ''
DELETE_LABEL .
DELETE_LABEL_FOR_LENGTH -NONE-
EQ_LABEL ADVP PRT
"""


@pytest.mark.skipif(not shutil.which("evalb"), reason="the C program evalb is not installed")
def test_the_standard_scorer_agrees(tmp_path):
    """On toy trees, half of them with another subject's bracket and one without its verb phrase."""
    gold = treebank("toy")["test"][:100]
    lines = [str(each) for each in gold]
    parsed = [line.replace("(NP", "(X", i % 2) for i, line in enumerate(lines)]
    for name, text in ("gold", lines), ("parsed", parsed):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in text))
    (tmp_path / "COLLINS.prm").write_text(COLLINS)
    command = ["evalb", "-p", "COLLINS.prm", "gold", "parsed"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    ours = score(gold, [tree(line) for line in parsed], strict=True)
    for name, value in {
        "Bracketing Recall": ours.recall,
        "Bracketing Precision": ours.precision,
        "Bracketing FMeasure": ours.f1,
        "Complete match": ours.complete,
        "Tagging accuracy": ours.tagging,
    }.items():
        assert f"{value:.2f}" in re.findall(rf"{name}\s+=\s+([\d.]+)", said)
