"""A model seen through other views: the same weights, other attention."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from annotated.data.batching import collate, pad_sequences
from annotated.data.tokenizer import BOS, EOS, PAD
from annotated.evidence.altered import (
    Altered,
    Through,
    all_heads,
    attentions,
    given,
    other_weights,
    pattern_masks,
    variation,
    with_even,
    with_patterns,
    without,
)
from annotated.evidence.heads import attention_weights
from annotated.fast.packing import decoder_outputs
from annotated.model.attention import padding_mask
from annotated.model.transformer import Transformer, TransformerConfig
from annotated.training.loop import Run, TrainingConfig, validation_loss
from annotated.translation.search import beam_search, greedy

SOURCE = pad_sequences([[5, 6, 7, 8, EOS], [9, 10, EOS]])
TARGET = torch.tensor([[BOS, 11, 12], [BOS, 13, PAD]])
BATCH = collate([([5, 6, 7, 8], [11, 12]), ([9, 10], [13])])
NAMES = ["encoder", "decoder", "cross-attention"]
EVERYWHERE = ["forward", "training", "greedy", "beam"]


@pytest.fixture
def model() -> Transformer:
    torch.manual_seed(0)
    sizes = {"layers": 2, "d_model": 16, "d_ff": 32, "heads": 4, "dropout": 0.0}
    return Transformer(TransformerConfig(30, **sizes)).double().eval()


def way(name: str, model: Transformer) -> torch.Tensor:
    """What the model makes of a batch, in one of the ways in which it is used."""
    if name == "forward":
        return model(SOURCE, TARGET)[TARGET != PAD]
    if name == "training":
        return decoder_outputs(model, BATCH)[0]
    if name == "greedy":
        return greedy(model, SOURCE, extra=4)
    found = beam_search(model, SOURCE)
    return torch.tensor([one[0].log_probability for one in found])


@pytest.mark.parametrize("name", EVERYWHERE)
def test_without_a_change_the_model_is_itself(model, name):
    assert_close(way(name, Altered(model, dict.fromkeys(NAMES, Through))), way(name, model))


@pytest.mark.parametrize("name", EVERYWHERE)
@pytest.mark.parametrize("attention", NAMES)
def test_a_head_off_is_its_rows_of_the_output_projection_at_zero(model, name, attention):
    whole = way(name, model)
    heads = [(attention, 1, 3), (attention, 2, 1), (attention, 2, 4)]
    found = way(name, without(model, heads))
    assert_close(way(name, model), whole)  # the model itself is as it was
    with torch.no_grad():
        for _, layer, head in heads:
            weight = attentions(model)[attention][layer - 1].output.weight  # (D, H K')
            weight[:, 4 * (head - 1) : 4 * head] = 0.0
    assert_close(found, way(name, model))
    if name != "greedy":
        assert not torch.allclose(found, whole)


def test_all_heads_has_each_once(model):
    heads = all_heads(model)
    assert len({*heads}) == len(heads) == 24 and heads[0] == ("encoder", 1, 1)
    assert heads[-1] == ("cross-attention", 2, 4)


@pytest.mark.parametrize("head", [("encoder", 3, 1), ("encoder", 1, 0), ("across", 1, 1)])
def test_a_head_that_is_not_there_is_refused(model, head):
    with pytest.raises(ValueError, match="the model has no head"):
        without(model, [head])


def test_the_rows_of_patterns():
    masks = pattern_masks(padding_mask(SOURCE), ["same", "previous", "next", "begin", "end", None])
    assert masks.shape == (2, 6, 5, 5)
    looks = [
        [[0, 1, 2, 3, 4], [0, 0, 1, 2, 3], [1, 2, 3, 4, 4], [0] * 5, [4] * 5],
        [[0, 1, 2], [0, 0, 1], [1, 2, 2], [0] * 3, [2] * 3],
    ]
    for sentence, places in enumerate(looks):
        for pattern, columns in enumerate(places):
            rows = masks[sentence, pattern, : len(columns)]
            assert_close(rows, F.one_hot(torch.tensor(columns), 5).bool())
    assert masks[1, 5].equal((SOURCE[1] != PAD).expand(5, 5))
    assert not masks[1, ..., 3:].any()  # padding


def test_a_fixed_head_has_all_its_weight_at_its_place(model):
    fixed = with_patterns(model, ["previous", "next", "end", None])
    weights = attention_weights(fixed, SOURCE, TARGET)["encoder"]  # (N, B, H, S, S)
    previous = F.one_hot(torch.tensor([0, 0, 1]), 5).double()
    assert_close(weights[:, 1, 0, :3], previous.expand(2, 3, 5))
    own = attention_weights(model, SOURCE, TARGET)["encoder"]
    assert_close(weights[0, :, 3], own[0, :, 3])


def test_training_on_packed_rows_sees_the_same_patterns(model):
    changed = with_patterns(model, ["same", "previous", "end", None])
    x, _ = decoder_outputs(changed, BATCH)
    logits = changed(BATCH.source, BATCH.target_in)
    assert_close(model.embedding.logits(x), logits[BATCH.target_in != PAD])


def test_patterns_are_refused_where_a_head_has_none(model):
    with pytest.raises(ValueError, match="2 patterns for 4 heads"):
        with_patterns(model, ["same", None])


@pytest.mark.parametrize("name", NAMES)
def test_even_weights_are_those_of_queries_of_zero(model, name):
    found = with_even(model, name)(SOURCE, TARGET)
    with torch.no_grad():
        for layer in attentions(model)[name]:
            layer.query.weight.zero_()
    assert_close(found, model(SOURCE, TARGET))


def test_an_altered_model_learns_and_shares_its_weights(model):
    changed = with_even(model, "encoder")
    before = {name: x.clone() for name, x in model.state_dict().items()}
    run = Run(changed, TrainingConfig(warmup=1))
    run.update(BATCH)
    after = model.state_dict()
    assert after.keys() == changed.state_dict().keys()
    assert not after["embedding.weight"].equal(before["embedding.weight"])
    name = "encoder.layers.0.self_attention.query.weight"
    assert after[name].equal(before[name])  # an even head has no use for it
    assert validation_loss(changed, [BATCH]) != validation_loss(model, [BATCH])


def test_given_its_own_weights_a_model_says_the_same(model):
    own = attention_weights(model, SOURCE, TARGET)["cross-attention"]
    assert_close(given(model, "cross-attention", 2, own[1])(SOURCE, TARGET), model(SOURCE, TARGET))
    other = own[1].roll(1, 2)
    assert not torch.allclose(
        given(model, "cross-attention", 2, other)(SOURCE, TARGET), model(SOURCE, TARGET)
    )


def test_variation_is_half_the_sum_of_differences():
    one = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    other = torch.tensor([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5]])
    assert variation(one, other).tolist() == [0.25, 1.0]


@pytest.mark.parametrize("name", NAMES)
def test_other_weights_are_weights_and_keep_what_they_promise(model, name):
    batch = BATCH
    torch.manual_seed(0)
    found = other_weights(model, batch.source, batch.target_in, name, 2, steps=60, most=0.3)
    own = attention_weights(model, batch.source, batch.target_in)[name][1]
    assert found.weights.shape == own.shape and found.moved.shape == found.changed.shape == (2,)
    assert_close(found.weights.sum(-1), torch.ones_like(own[..., 0]))
    assert found.weights[own == 0].eq(0).all() and found.moved.gt(0.05).all()
    with torch.no_grad():
        after = given(model, name, 2, found.weights)(batch.source, batch.target_in).softmax(-1)
        before = model(batch.source, batch.target_in).softmax(-1)
    steps = batch.target_in != PAD
    worst = ((after - before).abs().sum(-1) / 2).masked_fill(~steps, 0).amax(1)
    assert_close(found.changed, worst)
    assert worst.le(0.3).all()
    rows = (batch.source if name == "encoder" else batch.target_in) != PAD
    moved = (found.weights - own).abs().sum(-1) / 2  # (B, H, T)
    each = [moved[i][:, rows[i]].mean() for i in range(2)]
    assert_close(found.moved, torch.stack(each))


def test_where_none_are_found_the_weights_stay(model):
    with torch.no_grad():
        for layer in attentions(model)["cross-attention"]:
            layer.output.weight.mul_(100)
    found = other_weights(model, SOURCE, TARGET, "cross-attention", 2, steps=1, most=1e-9)
    assert found.moved.tolist() == found.changed.tolist() == [0, 0]
    assert_close(found.weights, attention_weights(model, SOURCE, TARGET)["cross-attention"][1])


def test_what_changes_more_than_is_allowed_is_not_taken(model):
    def found(most):
        torch.manual_seed(0)
        return other_weights(
            model, BATCH.source, BATCH.target_in, "cross-attention", 2, steps=30, most=most
        )

    loose = found(1.0)
    half = loose.changed.min().item() / 2
    assert half > 0 and found(half).changed.le(half).all()
    assert found(half).moved.lt(loose.moved).all()
