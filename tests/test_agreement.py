"""Sentences with one wrong word: the grammar makes them, and a model is asked which is right."""

from itertools import islice

import pytest
import torch

from annotated.data import toy
from annotated.data.tokenizer import EOS, Tokenizer
from annotated.data.toy.syntax import Phrase
from annotated.evidence.agreement import (
    OtherNumber,
    contrasts,
    log_probabilities,
    misread,
    preferred,
)
from annotated.evidence.recurrent_translator import RecurrentConfig, RecurrentTranslator
from annotated.model.transformer import Transformer, TransformerConfig


def entry(table, name):
    return next(each for each in table if name in (each.english, each.english[0]))


@pytest.fixture
def clause():
    """Der Hund schläft nicht, weil er hungrig ist."""
    dog = Phrase(entry(toy.NOUNS, "dog"))
    it = Phrase(pronoun="it", antecedent=dog)
    reason = toy.Clause(it, entry(toy.VERBS, "be"), adjective=entry(toy.ADJECTIVES, "hungry"))
    sleep = entry(toy.VERBS, "sleep")
    return toy.Clause(dog, sleep, negated=True, conjunction="because", joined=reason)


def test_by_hand(clause):
    found = [(x.kind, x.distance, x.wrong) for x in contrasts(clause)]
    assert found == [
        ("verb", 1, "Der Hund schlafen nicht, weil er hungrig ist."),
        ("pronoun", 5, "Der Hund schläft nicht, weil sie hungrig ist."),
        ("pronoun", 5, "Der Hund schläft nicht, weil es hungrig ist."),
    ]
    assert {x.right for x in contrasts(clause)} == {toy.spell(clause).german}
    assert {x.source for x in contrasts(clause)} == {toy.spell(clause).english}


def test_a_sentence_is_afterwards_as_it_was(clause):
    before = toy.spell(clause)
    list(contrasts(clause))
    assert toy.spell(clause) == before and type(clause.subject) is Phrase
    with pytest.raises(KeyError), misread(clause.subject, OtherNumber):
        raise KeyError
    assert type(clause.subject) is Phrase


@pytest.mark.parametrize("rich", [1, 4])
def test_right_and_wrong_differ_in_one_word(rich):
    made = [(clause, list(contrasts(clause))) for clause in islice(toy.clauses(3, rich), 300)]
    kinds = set()
    for clause, tests in made:
        pair = toy.spell(clause)
        antecedents = dict(pair.antecedents)
        for test in tests:
            kinds.add(test.kind)
            assert (test.source, test.right) == (pair.english, pair.german)
            words = [line.replace(",", " ,")[:-1].split() for line in (test.right, test.wrong)]
            [i] = [i for i, (a, b) in enumerate(zip(*words, strict=True)) if a != b]
            if test.kind == "pronoun":
                assert i - antecedents[i] in (test.distance, -test.distance)
                assert {words[0][i].lower(), words[1][i].lower()} < {
                    *("er", "sie", "es", "ihn", "ihm", "ihr")
                }
    assert kinds == {"verb", "pronoun"}


@pytest.mark.parametrize(
    "config",
    [TransformerConfig(300, 1, 16, 16, 2, dropout=0.5), RecurrentConfig(300, 1, 16, dropout=0.5)],
)
def test_a_translation_s_probability_is_that_of_its_tokens(config, clause):
    kind = Transformer if isinstance(config, TransformerConfig) else RecurrentTranslator
    torch.manual_seed(0)
    lines = [line for pair in toy.splits()["test"] for line in (pair.english, pair.german)]
    tokenizer = Tokenizer.train(lines, 300)
    model = kind(config)
    tests = list(contrasts(clause))
    pairs = [(test.source, test.wrong) for test in tests] + [("the dog", "der Hund")]
    together = log_probabilities(model, tokenizer, pairs, size=3)
    for pair, found in zip(pairs, together, strict=True):
        source, target = ([*tokenizer.encode(text), EOS] for text in pair)
        logits = model(torch.tensor([source]), torch.tensor([[1, *target[:-1]]]))[0]
        each = [row.log_softmax(-1)[i].item() for row, i in zip(logits, target, strict=True)]
        assert found == pytest.approx(sum(each), rel=1e-4)
    right = log_probabilities(model, tokenizer, [(tests[0].source, tests[0].right)])[0]
    expected = [right > wrong for wrong in together[:3]]
    assert preferred(model, tokenizer, tests) == expected
