"""Packing: on real tokens alone, the loss and gradients of the padded model."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from annotated.data.batching import Batch
from annotated.data.steps import blank
from annotated.fast.packing import Objective, PackedView, Packing
from annotated.model.attention import MultiHeadAttention, causal_mask
from annotated.model.transformer import Transformer, TransformerConfig
from annotated.training.loss import smoothed_loss

SMALL = TransformerConfig(vocab_size=23, layers=2, d_model=12, d_ff=20, heads=3, dropout=0.0)
CONFIGS = {
    "the paper's": {},
    "pre-norm": {"norm_first": True},
    "learned positions": {"positions": "learned", "max_length": 16},
    "biases": {"attention_bias": True},
    "widths of their own": {"d_k": 5, "d_v": 2},
    "one head": {"heads": 1},
    "all at once": {
        "norm_first": True,
        "positions": "learned",
        "max_length": 16,
        "attention_bias": True,
        "d_k": 2,
        "d_v": 7,
        "layers": 1,
    },
}
EACH = pytest.mark.parametrize("changes", CONFIGS.values(), ids=CONFIGS.keys())
RAGGED = {
    "ragged": ([2, 5, 3], [4, 1, 6]),
    "one sentence": ([4], [3]),
    "no padding": ([5, 5, 5], [4, 4, 4]),
    "one token each": ([1, 1], [1, 1]),
    "one long": ([1, 1, 12, 1], [12, 1, 1, 1]),
}
lengths = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=6)


def build(dtype: torch.dtype = torch.float64, **changes) -> Transformer:
    """A small model, all of its weights shaken so that no bias is zero and no gain is one."""
    torch.manual_seed(0)
    model = Transformer(dataclasses.replace(SMALL, **changes)).to(dtype)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return model


def ids(sizes) -> torch.Tensor:
    """Random ids (B, T), a sentence for each size; pads, where any, stand at the end."""
    rows = [torch.randint(1, SMALL.vocab_size, (size,)) for size in sizes]
    return pad_sequence(rows, batch_first=True)


def ragged(source, target) -> Batch:
    """A batch of sentences of these lengths."""
    return Batch(ids(source), ids(target), ids(target))


def padded_loss(model: Transformer, batch: Batch, smoothing: float = 0.1) -> torch.Tensor:
    """The padded model and PyTorch's cross-entropy, in the model's own precision."""
    logits = model(batch.source, batch.target_in).flatten(0, 1)
    return F.cross_entropy(
        logits,
        batch.target_out.flatten(),
        ignore_index=model.config.pad,
        label_smoothing=smoothing,
        reduction="sum",
    )


def gradients(model: Transformer, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    names, weights = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, weights), strict=True))


def check(model: Transformer, batch: Batch, smoothing: float = 0.1) -> None:
    """Loss and all gradients, packed and padded."""
    packed, padded = Objective(model, smoothing)(batch), padded_loss(model, batch, smoothing)
    assert packed.shape == ()
    assert_close(packed, padded, rtol=1e-10, atol=1e-10)
    assert_close(gradients(model, packed), gradients(model, padded), rtol=1e-8, atol=1e-9)


# --- the way in and back -------------------------------------------------------------------------


def test_by_hand():
    rows = Packing(torch.tensor([[11, 12, 0, 0], [21, 22, 23, 24], [31, 0, 0, 0]]))
    assert rows.index.tolist() == [0, 1, 4, 5, 6, 7, 8]
    assert rows.position.tolist() == [0, 1, 0, 1, 2, 3, 0]
    assert rows.mask.shape == (3, 1, 1, 4) and rows.mask.sum() == 7
    assert rows.unpack(torch.arange(1, 8)).tolist() == [[1, 2, 0, 0], [3, 4, 5, 6], [7, 0, 0, 0]]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.lists(st.integers(1, 4), max_size=3))
def test_pad_is_pytorchs_and_pack_undoes_it(sizes, inner):
    rows, x = Packing(ids(sizes)), torch.randn(sum(sizes), *inner)
    padded = rows.unpack(x)
    assert padded.equal(pad_sequence(x.split(sizes), batch_first=True))
    assert rows.pack(padded).equal(x)
    assert rows.position.equal(torch.cat([torch.arange(size) for size in sizes]))


def test_another_pad_id_can_be_named():
    rows = Packing(torch.tensor([[0, 5, 9], [0, 9, 9]]), pad=9)
    assert rows.index.tolist() == [0, 1, 3]


def test_pad_leaves_its_input_alone_and_passes_gradients():
    rows = Packing(ids([2, 4]))
    x = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    before = x.detach().clone()
    assert torch.autograd.gradcheck(lambda x: rows.unpack(x) ** 2, x)
    assert torch.autograd.gradcheck(lambda x: rows.pack(rows.unpack(x)) ** 2, x)
    assert x.equal(before)


# --- the parts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [False, True])
def test_packed_attention_is_padded_attention(bias):
    torch.manual_seed(3)
    heads = MultiHeadAttention(12, 3, d_k=2, d_v=5, bias=bias).double()
    heads.keep_weights = True
    rows, columns = Packing(ids([4, 1, 6])), Packing(ids([2, 5, 3]))
    x, memory = torch.randn(11, 12).double(), torch.randn(10, 12).double()
    for view, own, other in [
        (PackedView(rows, columns), x, memory),
        (PackedView(rows, rows, causal_mask(6)), x, x),
        (PackedView(columns, columns), memory, memory),
    ]:
        packed = heads(own, other, view)
        weights = heads.weights
        padded = heads(view.rows.unpack(own), view.columns.unpack(other), view.mask)
        assert_close(packed, view.rows.pack(padded))
        if not bias:  # else a pad's key is the bias here and zero there; nobody looks at either
            assert_close(weights, heads.weights)


@EACH
def test_stacks_are_those_of_the_padded_model(changes):
    torch.manual_seed(1)
    model, batch = build(**changes), ragged([2, 5, 3], [4, 1, 6])
    rows, columns = Packing(batch.target_in), Packing(batch.source)
    embedded = model.embed(columns.pack(batch.source), columns.position)
    assert_close(embedded, columns.pack(model.embed(batch.source)))
    memory, mask = model.encode(batch.source)
    itself = PackedView(columns, columns)
    packed, _ = model.encode(columns.pack(batch.source), itself, columns.position)
    assert_close(packed, columns.pack(memory))
    x, target = Objective(model).outputs(batch)
    assert_close(x, rows.pack(model.decode(batch.target_in, memory, mask)))
    assert torch.equal(target, rows.pack(batch.target_out))


def test_positions_end_where_the_table_ends():
    model = build(positions="learned", max_length=6)
    Objective(model)(ragged([6, 2], [3, 3]))
    with pytest.raises(ValueError, match="past the 6 that were learned"):
        Objective(model)(ragged([7, 2], [3, 3]))


# --- loss and gradients --------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("sizes", RAGGED.values(), ids=RAGGED.keys())
def test_loss_and_gradients_are_those_of_the_padded_model(changes, sizes):
    torch.manual_seed(2)
    check(build(**changes), ragged(*sizes))


@settings(deadline=None, max_examples=30)
@given(lengths, st.sampled_from(list(CONFIGS)), st.sampled_from([0.0, 0.1, 0.4]))
def test_whatever_the_lengths(sizes, name, smoothing):
    check(build(**CONFIGS[name]), ragged(*zip(*sizes, strict=True)), smoothing)


def test_it_is_the_smoothed_loss_of_the_padded_model_in_single_precision():
    torch.manual_seed(4)
    model, batch = build(torch.float32), ragged([2, 9, 3], [4, 1, 6])
    plain = smoothed_loss(model(batch.source, batch.target_in), batch.target_out)
    packed = Objective(model)(batch)
    assert_close(packed, plain)
    assert_close(gradients(model, packed), gradients(model, plain), rtol=1e-3, atol=1e-5)


def test_pad_may_be_another_id():
    torch.manual_seed(5)
    model, batch = build(pad=7), ragged([2, 5, 3], [4, 1, 6])
    for side in batch:
        side[0, 1] = 7  # so that id 0 becomes a word
    exchanged = torch.arange(SMALL.vocab_size)
    exchanged[0], exchanged[7] = 7, 0
    check(model, Batch(*(exchanged[side] for side in batch)))


def test_sentences_do_not_know_their_neighbors():
    torch.manual_seed(6)
    objective = Objective(build())
    batch = ragged([2, 5, 3, 5], [4, 1, 6, 2])
    whole = objective(batch)
    alone = [objective(Batch(*(side[i : i + 1] for side in batch))) for i in range(4)]
    assert_close(whole, sum(alone))
    order = torch.tensor([2, 0, 3, 1])
    assert_close(whole, objective(Batch(*(side[order] for side in batch))))


def test_more_padding_changes_nothing():
    torch.manual_seed(7)
    model, batch = build(), ragged([2, 5, 3], [4, 1, 6])
    wider = Batch(*(F.pad(side, (0, more)) for side, more in zip(batch, (4, 3, 3), strict=True)))
    empty = Batch(*(F.pad(side, (0, 0, 1, 2)) for side in batch))  # sentences of pads alone
    loss = Objective(model)(batch)
    expected = gradients(model, loss)
    for other in (wider, empty):
        again = Objective(model)(other)
        assert_close(again, loss)
        assert_close(gradients(model, again), expected)


@EACH
@pytest.mark.parametrize("source", [[1], [2, 5, 3]])
def test_nothing_but_padding_has_no_loss_and_no_gradient(changes, source):
    model = build(**changes)
    for known in (ids(source), torch.zeros(len(source), max(source), dtype=torch.int64)):
        nothing = torch.zeros(len(source), 2, dtype=torch.int64)
        loss = Objective(model)(Batch(known, nothing, nothing))
        loss.backward()
        assert loss == 0
        assert all(w.grad is not None and not w.grad.any() for w in model.parameters())


def test_no_gradient_is_computed_where_none_is_wanted():
    model, batch = build(), ragged([2, 5], [4, 1])
    with torch.no_grad():
        loss = Objective(model)(batch)
    assert not loss.requires_grad
    assert_close(loss, padded_loss(model, batch).detach())


# --- what it is for ------------------------------------------------------------------------------


def flops(run, *inputs) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run(*inputs)
    return counter.get_total_flops()


counts_products = pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 5),
    reason="this PyTorch's counter of FLOPs does not know products with out=",
)


@counts_products
def test_pads_cost_nothing_but_inside_attention():
    """The products of N real tokens, and the scores of B (S^2 + T^2 + S T) places."""
    model, batch = build(), ragged([2, 5, 3], [4, 1, 6])
    D, F_, V, layers = SMALL.d_model, SMALL.d_ff, SMALL.vocab_size, SMALL.layers
    rows = layers * (10 + 11) * (6 * D * D + 2 * D * F_) + 11 * V * D
    inside = layers * 2 * D * 3 * (5 * 5 + 6 * 6 + 5 * 6)
    assert flops(Objective(model), batch) == 2 * (rows + inside)
    assert flops(padded_loss, model, batch) > 2 * (rows + inside)


@counts_products
def test_without_padding_there_is_the_same_work():
    model, batch = build(), ragged([5, 5], [4, 4])
    assert flops(Objective(model), batch) == flops(padded_loss, model, batch)


# --- dropout and half precision ------------------------------------------------------------------


def test_dropout_draws_in_training_and_not_in_evaluation():
    torch.manual_seed(8)
    model = build(dropout=0.3, attention_dropout=0.2, hidden_dropout=0.2)
    batch = ragged([2, 5, 3], [4, 1, 6])
    objective = Objective(model)
    assert not torch.equal(objective.train()(batch), objective(batch))
    assert torch.equal(objective.eval()(batch), objective(batch))
    check(model, batch)


@pytest.mark.parametrize("name", RAGGED)
def test_r_drop_reads_each_sentence_under_two_dropouts(name):
    """With the dropout of the padded model, a batch that is laid twice."""
    model, batch = build(torch.float32, dropout=0.3), ragged(*RAGGED[name])
    assert_close(Objective(model.eval(), r_drop=5.0)(batch), Objective(model)(batch))
    torch.manual_seed(5)
    loss = Objective(model.train(), r_drop=2.0)(batch)
    torch.manual_seed(5)
    x, target = Objective(model).outputs(Batch(*(torch.cat([ids, ids]) for ids in batch)))
    logits, target = (x @ model.embedding.weight.T).chunk(2), target.chunk(2)
    assert torch.equal(*target) and not torch.equal(*logits)
    p, q = (each.log_softmax(-1) for each in logits)
    right = sum(F.cross_entropy(x, target[0], label_smoothing=0.1, reduction="sum") for x in (p, q))
    kl = {"log_target": True, "reduction": "sum"}
    assert_close(loss, right / 2 + F.kl_div(p, q, **kl) + F.kl_div(q, p, **kl), rtol=1e-4, atol=0)


def test_r_drop_of_nothing_is_nothing():
    model = build(torch.float32)
    for nothing in (blank(), Batch(*torch.zeros(3, 1, 1, dtype=torch.int64))):
        loss = Objective(model, r_drop=1.0)(nothing)
        assert loss == 0 and not any(x.any() for x in gradients(model, loss).values())


def dropouts(model: Transformer, loss, *inputs) -> dict[str, int]:
    """How often each dropout of the model is called by a loss."""
    counts = dict.fromkeys((n for n, m in model.named_modules() if isinstance(m, nn.Dropout)), 0)
    hooks = []
    for name in counts:

        def count(*_, name=name):
            counts[name] += 1

        hooks.append(model.get_submodule(name).register_forward_hook(count))
    loss(*inputs)
    for hook in hooks:
        hook.remove()
    return counts


def test_dropout_is_in_all_places_of_the_padded_model():
    model, batch = build(), ragged([2, 5, 3], [4, 1, 6])
    packed = dropouts(model, Objective(model), batch)
    assert packed == dropouts(model, padded_loss, model, batch)
    assert packed["dropout"] == 2 and all(packed.values())


@pytest.mark.parametrize("place", ["dropout", "attention_dropout", "hidden_dropout"])
def test_dropout_has_the_mean_and_spread_that_it_has_in_the_padded_model(place):
    torch.manual_seed(9)
    model = build(layers=1, **{place: 0.4}).train()
    batch = ragged([2, 5, 3], [4, 1, 6])
    runs = 600
    with torch.no_grad():
        packed = torch.stack([Objective(model)(batch) for _ in range(runs)])
        padded = torch.stack([padded_loss(model, batch) for _ in range(runs)])
    noise = (packed.var() / runs + padded.var() / runs).sqrt()
    assert abs(packed.mean() - padded.mean()) < 4 * noise
    assert 0.75 < packed.std() / padded.std() < 1.33


def test_autocast_is_close():
    torch.manual_seed(10)
    model, batch = build(torch.float32), ragged([2, 9, 3], [4, 1, 6])
    exact = Objective(model)(batch)
    with torch.autocast("cpu", torch.bfloat16):
        loss = Objective(model)(batch)
    assert loss.dtype == torch.float32
    assert_close(loss, exact, rtol=1e-2, atol=0)
    assert not torch.equal(loss, exact)  # so the products were in half precision
    flat, right = (
        torch.cat([g.flatten() for g in gradients(model, value).values()])
        for value in (loss, exact)
    )
    assert F.cosine_similarity(flat, right, 0) > 0.99


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("sizes", [*RAGGED.values(), ([0], [0])])
def test_on_a_gpu(sizes):
    torch.manual_seed(11)
    model = build().cuda()
    batch = ragged(*sizes) if sum(sizes[0]) else Batch(*[torch.zeros(1, 1, dtype=torch.int64)] * 3)
    check(model, batch.to("cuda"))
