"""Alignments: by hand, against the definition with sets, and of IBM model 1 that learns them."""

import pytest
import torch
from torch.testing import assert_close

from annotated.data import toy
from annotated.data.tokenizer import BOS, EOS, Tokenizer
from annotated.evidence.alignment import (
    IBMModel1,
    alignment_error_rate,
    by_words,
    gold_alignment,
    largest,
    link_matrix,
    word_weights,
    words_of,
)
from annotated.evidence.heads import attention_weights
from annotated.model.transformer import Transformer, TransformerConfig

PAIRS = toy.generate(30, seed=3)


def a_model(size: int) -> Transformer:
    torch.manual_seed(0)
    return Transformer(TransformerConfig(size, layers=2, d_model=16, d_ff=32, heads=4))


@pytest.fixture(scope="module", params=[300, 2000])
def tokenizer(request) -> Tokenizer:
    """One whose words are in pieces, one that has most of them whole."""
    return Tokenizer.train((x for p in PAIRS for x in (p.english, p.german)), request.param)


def by_sets(found, gold):
    """The definition, link by link."""
    both = sum(len(a & g) for a, g in zip(found, gold, strict=True))
    return 1 - 2 * both / sum(len(a) + len(g) for a, g in zip(found, gold, strict=True))


def test_an_error_rate_by_hand():
    gold = link_matrix([(0, 0), (1, 1), (1, 2)], 3, 3)
    found = link_matrix([(0, 0), (1, 2), (2, 2)], 3, 3)  # two of three, and of three
    assert alignment_error_rate([found], [gold]).item() == pytest.approx(1 / 3)
    assert alignment_error_rate([gold], [gold]).item() == 0
    assert alignment_error_rate([~gold], [gold]).item() == 1
    # counted over all sentences: 2 + 1 right of 3 + 3 and 1 + 1
    one = link_matrix([(0, 0)], 1, 2)
    assert alignment_error_rate([found, one], [gold, one]).item() == pytest.approx(1 - 6 / 8)


def test_many_alignments_at_once_have_the_rate_that_each_has_alone():
    torch.manual_seed(0)
    gold = [gold_alignment(pair) for pair in PAIRS]
    found = [torch.rand(2, 3, *each.shape) < 0.3 for each in gold]
    rates = alignment_error_rate(found, gold)
    assert rates.shape == (2, 3)
    wanted = [{tuple(at) for at in each.nonzero().tolist()} for each in gold]
    for i in range(2):
        for j in range(3):
            alone = [{tuple(at) for at in each[i, j].nonzero().tolist()} for each in found]
            assert rates[i, j].item() == pytest.approx(by_sets(alone, wanted))


def test_weights_have_the_rate_to_be_expected_where_each_row_draws_a_link():
    torch.manual_seed(0)
    gold = gold_alignment(PAIRS[0])
    weights = torch.rand(gold.shape).softmax(-1)
    draws = torch.stack([row.multinomial(20_000, replacement=True) for row in weights], 1)
    drawn = torch.nn.functional.one_hot(draws, gold.size(1)).bool()  # (20000, T, S)
    expected = alignment_error_rate([drawn], [gold]).mean()
    assert_close(alignment_error_rate([weights], [gold]), expected, atol=0.01, rtol=0)


def test_gold_links_go_from_target_to_source():
    pair = PAIRS[0]
    gold = gold_alignment(pair)
    assert gold.shape == (len(pair.target), len(pair.source))
    assert {(s, t) for t, s in gold.nonzero().tolist()} == set(pair.alignment)


def test_tokens_know_their_words(tokenizer):
    for pair in PAIRS:
        for words, text in ((pair.source, pair.english), (pair.target, pair.german)):
            ids, places = tokenizer.encode(text), words_of(tokenizer, words)
            assert len(ids) == len(places)
            for place, word in enumerate(words):
                own = [i for i, of in zip(ids, places, strict=True) if of == place]
                assert tokenizer.decode(own) == word
    assert words_of(tokenizer, []) == []


def test_a_word_is_the_sum_of_what_is_looked_at_and_the_mean_of_what_looks():
    weights = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.2, 0.6, 0.2]])
    merged = by_words(weights, [0, 0, 1], [0, 1, 1])
    assert_close(merged, torch.tensor([[0.3, 0.7], [0.2, 0.8]]))


def test_the_weights_of_words_sum_to_one_with_the_mark(tokenizer):
    model, pair = a_model(len(tokenizer)), PAIRS[1]
    s, t = len(pair.source), len(pair.target)
    shapes = {
        "encoder": (s, s + 1),
        "decoder, reading": (t, t + 1),
        "decoder, writing": (t, t + 1),
        "cross, reading": (t, s + 1),
        "cross, writing": (t, s + 1),
    }
    found = word_weights(model, tokenizer, pair)
    assert {name: weights.shape for name, weights in found.items()} == {
        name: (2, 4, *shape) for name, shape in shapes.items()
    }
    for weights in found.values():
        assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    for name in ("decoder, reading", "decoder, writing"):
        assert found[name][..., :-1].triu(1).eq(0).all()  # of words, itself at the most
        assert found[name][..., -1].gt(0).all()  # [begin] is there for all


def test_a_word_is_read_one_row_after_it_is_written():
    tokenizer = Tokenizer.train((x for p in PAIRS for x in (p.english, p.german)), 2000)
    sides = [(len(tokenizer.encode(p.english)), len(tokenizer.encode(p.german))) for p in PAIRS]
    whole = [(len(p.source), len(p.target)) == n for p, n in zip(PAIRS, sides, strict=True)]
    pair = PAIRS[whole.index(True)]
    model = a_model(len(tokenizer))
    source = torch.tensor([[*tokenizer.encode(pair.english), EOS]])
    target = torch.tensor([[BOS, *tokenizer.encode(pair.german)]])
    cross = attention_weights(model, source, target)["cross-attention"][:, 0]
    found = word_weights(model, tokenizer, pair)
    assert_close(found["cross, reading"], cross[..., 1:, :])
    assert_close(found["cross, writing"], cross[..., :-1, :])
    assert found["decoder, writing"][..., :-1].triu(0).eq(0).all()  # not yet itself


def test_the_largest_weight_of_each_row():
    weights = torch.tensor([[[0.2, 0.8], [0.6, 0.4]]])
    assert largest(weights).tolist() == [[[False, True], [True, False]]]


def test_a_round_of_em_by_hand():
    """das Haus, das Buch: after one round "das" is twice as likely for "the" as "Haus" is."""
    model = IBMModel1([["the", "house"], ["the", "book"]], [["das", "Haus"], ["das", "Buch"]])
    model.step()

    def t(one, other):
        return model.table[model.source[one], model.target[other]].item()

    assert [t("the", x) for x in ("das", "Haus", "Buch")] == pytest.approx([1 / 2, 1 / 4, 1 / 4])
    assert [t("house", x) for x in ("das", "Haus", "Buch")] == pytest.approx([1 / 2, 1 / 2, 0])
    model.step()  # "das" is shared out by 1/2 each; "Haus" goes to [none] and "the" by 1/4 of 1
    assert t("house", "Haus") == pytest.approx(0.5 / (0.5 + 1 / 3))
    weights = model.weights(["the", "house"], ["das", "Haus"])
    assert weights.shape == (2, 3) and weights.sum(-1).tolist() == pytest.approx([1, 1])


def test_more_rounds_make_the_training_pairs_likelier():
    sources, targets = [p.source for p in PAIRS], [p.target for p in PAIRS]
    model, likelihoods = IBMModel1(sources, targets), []
    for _ in range(4):
        model.step()
        each = [
            model.table[model.ids(s, model.source) + [1]][:, model.ids(t, model.target)]
            for s, t in zip(sources, targets, strict=True)
        ]
        likelihoods.append(sum(table.mean(0).log().sum().item() for table in each))
    assert likelihoods == sorted(likelihoods)
    assert_close(model.table[1:].sum(1), torch.ones(len(model.table) - 1, dtype=torch.double))


def test_it_learns_to_align():
    pairs = toy.generate(1000, seed=4)
    model = IBMModel1([p.source for p in pairs], [p.target for p in pairs])
    known = [p for p in PAIRS if {*p.source} <= {*model.source} and {*p.target} <= {*model.target}]
    gold = [gold_alignment(p) for p in known]
    for _ in range(5):
        model.step()
    found = [largest(model.weights(p.source, p.target)[:, :-1]) for p in known]
    even = [torch.ones(each.shape) / each.size(1) for each in gold]
    rate, chance = alignment_error_rate(found, gold), alignment_error_rate(even, gold)
    assert rate < 0.35 < 0.8 < chance


def test_a_word_that_no_pair_has_is_said():
    model = IBMModel1([["the"]], [["das"]])
    with pytest.raises(ValueError, match="^no training pair has the word 'dog'$"):
        model.weights(["dog"], ["das"])
