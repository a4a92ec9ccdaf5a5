"""annotated.decoding: greedy decoding with cached keys and values."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from annotated.batching import pad
from annotated.decoding import Decoding, LayerCache, greedy
from annotated.tokenizer import BOS, EOS, PAD
from annotated.transformer import Transformer, TransformerConfig


def a_model(seed=0, **changes):
    torch.manual_seed(seed)
    sizes = {"layers": 2, "d_model": 16, "d_ff": 32, "heads": 4, "dropout": 0.3} | changes
    model = Transformer(TransformerConfig(30, **sizes)).double().eval()
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
    source = pad(sentences(3, seed=1))
    target = torch.randint(3, 30, (3, 7))
    target[:, 0] = BOS
    memory, mask = model.encode(source)
    whole = model.embedding.logits(model.decode(target, memory, mask))  # (3, 7, V)
    decoding = Decoding(model, source)
    steps = torch.stack([decoding.step(token) for token in target.T], 1)
    assert steps.shape == whole.shape
    assert torch.allclose(steps, whole, atol=1e-12)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.integers(1, 6))
def test_greedy_equals_decoding_without_cache_and_alone(seed, count):
    model = a_model(seed % 7)
    batch = sentences(count, seed)
    together = greedy(model, pad(batch))
    for row, sentence in zip(together.tolist(), batch, strict=True):
        alone = plain(model, torch.tensor([sentence]))
        assert row[: len(alone)] == alone
        assert set(row[len(alone) :]) <= {PAD}


def test_ids_come_back_as_integers_of_the_batch():
    written = greedy(a_model(), pad(sentences(4, seed=2)))
    assert written.dtype == torch.int64
    assert written.dim() == 2 and written.size(0) == 4


def test_a_sentence_is_at_most_its_source_and_50_tokens_long():
    model = a_model()
    with torch.no_grad():
        model.embedding.weight[EOS] = -10 * model.embedding.weight[3:].mean(0)
    source = pad([[5, EOS], [5, 6, 7, 8, EOS]])
    written = greedy(model, source)
    lengths = (written != PAD).sum(1).tolist()
    if EOS not in written:
        assert lengths == [52, 55]
    assert lengths[0] <= 52 and lengths[1] <= 55
    assert greedy(model, source, extra=0).size(1) <= 5


def test_evaluation_mode_is_set_so_that_dropout_changes_nothing():
    model = a_model().train()
    source = pad(sentences(3, seed=4))
    assert torch.equal(greedy(model, source), greedy(model, source))


def test_nothing_of_the_graph_is_kept():
    assert not greedy(a_model(), pad(sentences(1, seed=5))).requires_grad


def test_the_cache_grows_by_one_position():
    key, value = torch.randn(2, 4, 1, 3), torch.randn(2, 4, 1, 5)
    cache = LayerCache((key, value))
    assert cache.extend(key, value)[0].shape == (2, 4, 1, 3)
    keys, values = cache.extend(key + 1, value + 1)
    assert keys.shape == (2, 4, 2, 3) and values.shape == (2, 4, 2, 5)
    assert torch.equal(keys[:, :, 1:], key + 1)
