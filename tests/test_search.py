"""Search: cached keys and values, greedy decoding, beam search, text in and out."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from annotated.data.batching import pad_sequences
from annotated.data.tokenizer import BOS, EOS, PAD, Tokenizer
from annotated.model.attention import MultiHeadAttention
from annotated.model.transformer import Transformer, TransformerConfig
from annotated.translation.search import (
    Decoding,
    GrowingView,
    Hypothesis,
    KeptView,
    Search,
    SearchConfig,
    Sentence,
    beam_search,
    greedy,
    length_penalty,
    translate,
    translator,
)
from annotated.translation.sentences import Seen, divide


def a_model(seed=0, vocab_size=30, **changes):
    torch.manual_seed(seed)
    sizes = {"layers": 2, "d_model": 16, "d_ff": 32, "heads": 4, "dropout": 0.3} | changes
    model = Transformer(TransformerConfig(vocab_size, **sizes)).double().eval()
    with torch.no_grad():  # away from the start, so that sentences end and differ
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return model


@torch.no_grad()
def plain(model, source, extra=50):
    """Greedy decoding of one sentence (1, S) by running the whole decoder again for each token."""
    memory, mask = model.encode(source)
    written = [BOS]
    while len(written) <= source.size(1) + extra and written[-1] != EOS:
        x = model.decode(torch.tensor([written]), memory, mask)
        written.append(int(model.embedding.logits(x[0, -1]).argmax()))
    return written[1:]


def sentences(count, seed):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 9, (count,), generator=generator).tolist()
    return [[*torch.randint(3, 30, (n,), generator=generator).tolist(), EOS] for n in lengths]


VARIANTS = [
    {},
    {"norm_first": True},
    {"positions": "learned", "max_length": 64},
    {"d_k": 3, "d_v": 5},
    {"attention_bias": True},
]


@pytest.mark.parametrize("changes", VARIANTS)
def test_cached_logits_are_the_whole_decoders(changes):
    model = a_model(**changes)
    source = pad_sequences(sentences(3, seed=1))
    target = torch.randint(3, 30, (3, 7))
    target[:, 0] = BOS
    memory, mask = model.encode(source)
    whole = model.embedding.logits(model.decode(target, memory, mask))  # (3, 7, V)
    decoding = Decoding(model, source)
    steps = torch.cat([decoding.step(token[:, None]) for token in target.T], 1)
    assert steps.shape == whole.shape
    assert torch.allclose(steps, whole, atol=1e-12)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.integers(1, 6))
def test_greedy_equals_decoding_without_cache_and_alone(seed, count):
    model = a_model(seed % 7)
    batch = sentences(count, seed)
    together = greedy(model, pad_sequences(batch))
    for row, sentence in zip(together.tolist(), batch, strict=True):
        alone = plain(model, torch.tensor([sentence]))
        assert row[: len(alone)] == alone
        assert set(row[len(alone) :]) <= {PAD}


def test_ids_come_back_as_integers_of_the_batch():
    written = greedy(a_model(), pad_sequences(sentences(4, seed=2)))
    assert written.dtype == torch.int64
    assert written.dim() == 2 and written.size(0) == 4


def test_a_sentence_is_at_most_its_source_and_50_tokens_long():
    model = a_model()
    with torch.no_grad():
        model.embedding.weight[EOS] = -10 * model.embedding.weight[3:].mean(0)
    source = pad_sequences([[5, EOS], [5, 6, 7, 8, EOS]])
    written = greedy(model, source)
    lengths = (written != PAD).sum(1).tolist()
    if EOS not in written:
        assert lengths == [52, 55]
    assert lengths[0] <= 52 and lengths[1] <= 55
    assert greedy(model, source, extra=0).size(1) <= 5


def test_evaluation_mode_is_set_so_that_dropout_changes_nothing():
    model = a_model().train()
    source = pad_sequences(sentences(3, seed=4))
    assert torch.equal(greedy(model, source), greedy(model, source))


def test_nothing_of_the_graph_is_kept():
    assert not greedy(a_model(), pad_sequences(sentences(1, seed=5))).requires_grad


def test_what_is_written_can_be_learnt_from():
    model, source = a_model(), pad_sequences(sentences(2, seed=3))
    target = greedy(model, source, extra=3)
    model.train()(source, target).sum().backward()
    assert model.embedding.weight.grad.abs().sum() > 0


def test_memory_is_taken_once_and_grows_by_what_is_written():
    layer, view = MultiHeadAttention(12, 4, d_k=3, d_v=5), GrowingView(room=3)
    x, whole = torch.randn(2, 3, 12), None
    with torch.no_grad():
        for n in range(3):
            keys, values = view.keys_values(layer, x[:, n : n + 1])
            view.length += 1
            assert keys.shape == (2, 4, n + 1, 3) and values.shape == (2, 4, n + 1, 5)
            for kept, all_at_once in zip((keys, values), layer.keys_values(x), strict=True):
                assert torch.allclose(kept, all_at_once[:, :, : n + 1], atol=1e-6)
            whole = whole or [kept.data_ptr() for kept in view.kept[layer]]
            assert [kept.data_ptr() for kept in view.kept[layer]] == whole
        view.length = 2
        view.select(torch.tensor([1]))
        keys, _ = view.keys_values(layer, x[1:, 2:])
        assert torch.allclose(keys, layer.keys_values(x[1:])[0], atol=1e-6)


def test_keys_and_values_of_the_source_are_computed_once():
    layer, view = MultiHeadAttention(12, 4), KeptView()
    first = view.keys_values(layer, torch.randn(2, 3, 12))
    assert view.keys_values(layer, torch.randn(2, 3, 12)) is first
    view.select(torch.tensor([1]))
    assert torch.equal(view.keys_values(layer, torch.zeros(1))[0], first[0][1:])


@pytest.mark.parametrize("k", [1, 3])
def test_weights_can_be_kept_while_a_sentence_is_written(k):
    model = a_model()
    for module in model.modules():
        if isinstance(module, MultiHeadAttention):
            module.keep_weights = True
    decoding = Decoding(model, pad_sequences(sentences(2, seed=1)), k)
    for step in range(3):
        decoding.step(torch.full((2, k), 5 + step))
    layer = model.decoder.layers[0]
    assert layer.self_attention.weights.shape == (2, 4, k, 3 * k)
    assert torch.allclose(layer.self_attention.weights.sum(-1), torch.ones(1).double())


# Beam search.


@torch.no_grad()
def everything(model, source, limit, alpha):
    """Every translation of one source (1, S), with its score, the best first."""
    memory, mask = model.encode(source)
    found, left = [], [([BOS], 0.0)]
    while left:
        written, total = left.pop()
        x = model.decode(torch.tensor([written]), memory, mask)[0, -1]
        for token, p in enumerate(model.embedding.logits(x).log_softmax(-1).tolist()):
            ids = [*written[1:], token]
            if token == EOS or len(ids) == limit:
                score = (total + p) / ((5 + len(ids)) / 6) ** alpha
                found.append((score, ids[:-1] if token == EOS else ids))
            else:
                left.append(([*written, token], total + p))
    return sorted(found, reverse=True)


@torch.no_grad()
def by_the_book(model, source, config, early=False):
    """A beam search of one source in plain Python, without a cache, a batch or an early stop."""
    memory, mask = model.encode(source)
    alive, finished = [([BOS], 0.0)], []
    while alive:
        grown = []
        for written, total in alive:
            x = model.decode(torch.tensor([written]), memory, mask)[0, -1]
            row = model.embedding.logits(x).log_softmax(-1).tolist()
            grown += [([*written, token], total + p) for token, p in enumerate(row)]
        grown.sort(key=lambda one: -one[1])
        alive = []
        for written, total in grown[: config.beam - len(finished)]:
            length = len(written) - 1
            if written[-1] == EOS or length == source.size(1) + config.extra:
                score = total / length_penalty(length, config.alpha)
                finished.append((score, [i for i in written[1:] if i != EOS]))
            else:
                alive.append((written, total))
    return sorted(finished, key=lambda one: -one[0])


def test_the_length_penalty_is_that_of_gnmt():
    assert length_penalty(1, 0.6) == 1.0
    assert length_penalty(7, 1.0) == 2.0
    assert length_penalty(100, 0.0) == 1.0


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_beam_as_wide_as_the_language_finds_the_best_in_order(seed, alpha):
    model = a_model(seed, vocab_size=5)
    sources = [[3, EOS], [4, 3, EOS]]
    found = beam_search(model, pad_sequences(sources), SearchConfig(200, alpha, extra=1), n_best=10)
    for source, hypotheses in zip(sources, found, strict=True):
        best = everything(model, torch.tensor([source]), len(source) + 1, alpha)
        assert [one.ids for one in hypotheses] == [ids for _, ids in best[:10]]
        for one, (score, _) in zip(hypotheses, best, strict=False):
            assert one.score == pytest.approx(score)


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 1000), st.integers(1, 5), st.sampled_from([0.0, 0.6, 1.0]))
def test_a_search_is_that_of_the_book_whatever_the_batch_and_however_early_it_stops(
    seed, beam, alpha
):
    model, batch = a_model(seed % 11), sentences(4, seed)
    config = SearchConfig(beam, alpha, extra=6)
    n_best = min(beam, 2)
    together = beam_search(model, pad_sequences(batch), config, n_best)
    for sentence, hypotheses in zip(batch, together, strict=True):
        (alone,) = beam_search(model, torch.tensor([sentence]), config, n_best)
        assert [one.ids for one in alone] == [one.ids for one in hypotheses]
        plainly = by_the_book(model, torch.tensor([sentence]), config)[:n_best]
        assert [one.ids for one in alone] == [ids for _, ids in plainly]
        for one, other, (score, _) in zip(alone, hypotheses, plainly, strict=True):
            assert one.score == pytest.approx(other.score) == pytest.approx(score)


@pytest.mark.parametrize("changes", VARIANTS)
def test_every_kind_of_model_is_searched_alike(changes):
    model, source = a_model(3, **changes), torch.tensor([[5, 9, 11, EOS]])
    config = SearchConfig(beam=3, extra=8)
    found = beam_search(model, source, config, n_best=3)[0]
    assert [one.ids for one in found] == [ids for _, ids in by_the_book(model, source, config)]


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.6, 1.0]))
def test_a_beam_of_one_is_greedy(seed, alpha):
    model, source = a_model(seed % 11), pad_sequences(sentences(5, seed))
    found = beam_search(model, source, SearchConfig(1, alpha))
    for (best,), row in zip(found, greedy(model, source).tolist(), strict=True):
        end = row.index(EOS) if EOS in row else len(row)
        while end and row[end - 1] == PAD and len(best.ids) < end:
            end -= 1  # what fills the batch up
        assert best.ids == row[:end]


def test_a_wider_beam_finds_the_sentence_that_greedy_decoding_misses():
    """Some seed has a best translation whose first token is not the most probable."""
    missed = 0
    for seed, token in product(range(4), range(3, 5)):
        model, source = a_model(seed, vocab_size=5), torch.tensor([[token, EOS]])
        narrow, wide = (
            beam_search(model, source, SearchConfig(k, 0.0, extra=1))[0][0].score for k in (1, 100)
        )
        assert wide >= narrow - 1e-12
        missed += wide > narrow + 1e-9
    assert missed


class Once:
    """A rule: no token comes twice, but the end."""

    def __init__(self, source, limit, k):
        self.used = torch.zeros(len(source), k, VOCABULARY, dtype=torch.bool)
        self.begun = False

    def step(self, token, parent):
        if self.begun:
            self.used = self.used.gather(1, parent[..., None].expand_as(self.used))
            self.used = self.used.scatter(2, token[..., None], True)
        self.begun = True
        return ~self.used

    def select(self, rows):
        self.used = self.used[rows]


VOCABULARY = 6


@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_with_a_rule_the_best_is_found_of_what_it_allows_with_its_own_probability(alpha):
    model = a_model(10, VOCABULARY)
    sources = torch.tensor([[3, EOS], [4, EOS], [5, EOS]])
    found = beam_search(model, sources, SearchConfig(400, alpha, extra=2), 20, Once)
    for source, hypotheses in zip(sources, found, strict=True):
        every = everything(model, source[None], 4, alpha)
        allowed = [(score, ids) for score, ids in every if len({*ids}) == len(ids)]
        assert len(hypotheses) == 20 and len(allowed) < len(every)
        for one, (score, ids) in zip(hypotheses, allowed, strict=False):
            assert one.ids == ids and math.isclose(one.score, score)


class Nothing(Once):
    def step(self, token, parent):
        return torch.zeros_like(super().step(token, parent))


def test_a_rule_that_allows_nothing_finds_nothing():
    source = torch.tensor([[3, EOS]])
    assert beam_search(a_model(10, VOCABULARY), source, SearchConfig(3), 1, Nothing) == [[]]


def test_a_sentence_is_over_when_nothing_better_can_come_and_not_before():
    one = Sentence(limit=10, wanted=1, alpha=1.0)
    assert not one.is_over(-5.0)
    one.finish([7, EOS], -2.0)  # 2 tokens: -2 / (7 / 6)
    assert one.finished == [Hypothesis([7], -2.0, pytest.approx(-12 / 7))]
    reach = (5 + 10) / 6 * -12 / 7  # what an open one may have and still come to as much
    assert one.is_over(reach - 1e-6) and not one.is_over(reach + 1e-6)
    assert one.is_over(-math.inf)
    two = Sentence(limit=10, wanted=2, alpha=1.0, finished=list(one.finished))
    assert not two.is_over(-100.0) and two.is_over(-math.inf)


def test_the_search_stops_early():
    """With an end symbol that is nearly certain there is no need to go to the limit."""
    model, steps = a_model(1), 0
    with torch.no_grad():
        last = model.decoder.layers[-1].residuals[-1].norm
        last.bias.copy_(40 * model.embedding.weight[EOS])
    search = Search(model, torch.tensor([[5, 6, EOS]]), SearchConfig(4, 0.6))
    while search.open:
        search.step()
        steps += 1
    assert steps < 10


def test_sentences_that_are_over_are_let_go():
    model = a_model(1)
    search = Search(model, pad_sequences(sentences(8, seed=9)), SearchConfig(2, 0.6))
    sizes = [len(search.open)]
    while search.open:
        search.step()
        sizes.append(len(search.open))
        assert search.beam.written.size(0) == len(search.open)
    assert sizes[0] == 8 and sizes[-1] == 0 and len(set(sizes)) > 2


def test_a_model_that_computes_nonsense_still_comes_to_an_end():
    model = a_model()
    with torch.no_grad():
        model.decoder.layers[0].feed_forward.inner.bias.fill_(math.nan)
    found = beam_search(model, pad_sequences(sentences(3, seed=1)), SearchConfig(3, extra=2))
    assert len(found) == 3
    assert greedy(model, pad_sequences(sentences(3, seed=1)), extra=2).size(0) == 3


@pytest.mark.parametrize(
    "wrong",
    [{"beam": 0}, {"beam": 1.5}, {"extra": -1}]
    + [{"alpha": alpha} for alpha in (-0.1, math.nan, 101, math.inf)],
)
def test_what_cannot_be_searched_with_is_said(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is (a whole number )?from"):
        SearchConfig(**wrong)


@pytest.mark.parametrize("n_best", [0, 3])
def test_a_beam_finds_no_more_than_it_holds(n_best):
    with pytest.raises(ValueError, match="a beam of 2 cannot find"):
        beam_search(a_model(), pad_sequences(sentences(1, seed=1)), SearchConfig(2), n_best)


def test_a_search_leaves_the_graph_alone_and_sets_evaluation_mode():
    model, source = a_model().train(), pad_sequences(sentences(3, seed=4))
    assert beam_search(model, source) == beam_search(model, source)
    assert not model.training
    assert all(weight.grad is None for weight in model.parameters())


# Text in, text out.

TEXT = ["the dog sleeps .", "der Hund schläft .", "ein Kind läuft durch den Schnee ."]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(TEXT * 3, 300)


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(0)
    return Transformer(TransformerConfig(len(tokenizer), 1, 16, 32, 2)).double().eval()


def test_a_line_for_each_line_in_order(model, tokenizer):
    lines = ["the dog", "", "der Hund schläft .", "   ", "a", "\t"]
    out = translate(model, tokenizer, lines)
    assert len(out) == len(lines)
    assert out[1] == out[3] == out[5] == ""
    alone = [translate(model, tokenizer, [line])[0] for line in lines]
    assert out == alone


def test_how_lines_are_grouped_changes_nothing(model, tokenizer):
    lines = [" ".join(["dog"] * n) for n in range(12)]
    assert translate(model, tokenizer, lines, batch_tokens=8) == translate(model, tokenizer, lines)


def test_no_lines_no_translations(model, tokenizer):
    assert translate(model, tokenizer, []) == []


@pytest.mark.parametrize("line", ["<pad>", "\x00", "🦊🦊", "日本語", "e\u0301", "\u2028", "\ufeff"])
def test_any_unicode_gives_one_line(model, tokenizer, line):
    (out,) = translate(model, tokenizer, [line])
    assert "\n" not in out


@pytest.mark.parametrize("line", ["\ufeff \u2028", "a\x00b", "x\ry", "\x1c", "a\x85b"])
def test_a_translation_has_no_line_break_of_any_kind(model, tokenizer, line):
    assert len(translate(model, tokenizer, [line])[0].splitlines()) <= 1


def test_a_run_of_white_space_is_one_space(model, tokenizer):
    """Tabs, no-break spaces and line separators too; and none at the ends."""
    plain, wide = "the dog sees a cat", " the \t dog  sees\u00a0\u2028a cat \n"
    one, other = translator(model, tokenizer).candidates([wide, plain], 2)
    assert one == other


def test_candidates_come_best_first_and_the_first_is_the_translation(model, tokenizer):
    lines = ["the dog", "", "der Hund schläft ."]
    found = translator(model, tokenizer).candidates(lines, 3)
    assert [len(each) for each in found] == [3, 1, 3] and found[1] == [("", 0)]
    for each in found:
        scores = [score for _, score in each]
        assert scores == sorted(scores, reverse=True)
    assert [each[0][0] for each in found] == translate(model, tokenizer, lines)


def test_a_line_is_translated_in_parts(model, tokenizer):
    """Its sentences, and pieces of one that is longer than what training saw."""
    line, seen = "der Hund schläft . " * 3 + "Der Hund. " * 2, Seen(10, "de")
    [whole] = translator(model, tokenizer, SearchConfig(2), seen=seen).candidates([line], 2)
    assert len(whole) == 2 and "\n" not in whole[0][0]
    parts = divide(line, tokenizer, 10, "de")
    assert len(parts) > 3
    found = [beam_search(model, torch.tensor([[*part, EOS]]), SearchConfig(2))[0] for part in parts]
    text = " ".join(tokenizer.decode(each[0].ids) for each in found)
    assert whole[0] == (" ".join(text.split()), pytest.approx(sum(x[0].score for x in found)))
    assert translate(model, tokenizer, [line], SearchConfig(2), seen=seen) == [whole[0][0]]


def test_learned_positions_are_not_overrun(tokenizer):
    torch.manual_seed(0)
    sizes = TransformerConfig(len(tokenizer), 1, 16, 32, 2, positions="learned", max_length=80)
    model = Transformer(sizes)
    assert len(translate(model, tokenizer, ["ein Hund " * 50])) == 1


def test_too_few_learned_positions_are_said(tokenizer):
    sizes = TransformerConfig(len(tokenizer), 1, 16, 32, 2, positions="learned", max_length=50)
    with pytest.raises(ValueError, match="too few"):
        translate(Transformer(sizes), tokenizer, ["der Hund"])
