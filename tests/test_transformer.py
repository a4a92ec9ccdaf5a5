"""The layers, the stacks, the model and its sizes (chapters/model/stacks.md)."""

import dataclasses
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from annotated.model.attention import View, causal_mask, padding_mask
from annotated.model.transformer import (
    PRESETS,
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    Residual,
    Transformer,
    TransformerConfig,
    parameter_count,
)

SMALL = TransformerConfig(vocab_size=23, layers=2, d_model=12, d_ff=20, heads=3, dropout=0.0)
ORDERS = pytest.mark.parametrize("norm_first", [False, True], ids=["post", "pre"])
MODES = pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])


def build(seed: int = 0, dtype: torch.dtype = torch.float64, **changes) -> Transformer:
    """A small model, all of its weights shaken so that no bias is zero and no gain is one."""
    torch.manual_seed(seed)
    model = Transformer(dataclasses.replace(SMALL, **changes)).to(dtype)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return model


def some_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """source (3, 6) whose second and third sentence end in padding, target (3, 5)."""
    torch.manual_seed(7)
    source, target = torch.randint(1, 23, (3, 6)), torch.randint(1, 23, (3, 5))
    source[1, 4:] = 0
    source[2, 1:] = 0
    return source, target


# --- sizes -----------------------------------------------------------------------------------

TABLE_3 = {
    "base": {},
    "A 1": {"heads": 1},
    "A 4": {"heads": 4},
    "A 16": {"heads": 16},
    "A 32": {"heads": 32},
    "B 16": {"d_k": 16},
    "B 32": {"d_k": 32},
    "C N 2": {"layers": 2},
    "C N 4": {"layers": 4},
    "C N 8": {"layers": 8},
    "C D 256": {"d_model": 256, "d_k": 32, "d_v": 32},
    "C D 1024": {"d_model": 1024, "d_k": 128, "d_v": 128},
    "C F 1024": {"d_ff": 1024},
    "C F 4096": {"d_ff": 4096},
    "E": {"positions": "learned"},
    "big": {"d_model": 1024, "d_ff": 4096, "heads": 16},
}
MILLIONS = {"B 16": 58, "B 32": 60, "C N 2": 36, "C N 4": 50, "C N 8": 80, "C D 256": 28}
MILLIONS |= {"base": 65, "C D 1024": 168, "C F 1024": 53, "C F 4096": 90, "big": 213}
SETTINGS = [{}, {"attention_bias": True}, {"norm_first": True}]


def count(config: TransformerConfig) -> int:
    with torch.device("meta"):
        model = Transformer(config)
    assert all(weight.is_meta for weight in model.parameters())
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("row", TABLE_3)
@pytest.mark.parametrize("more", SETTINGS, ids=["plain", "bias", "pre"])
def test_formula_counts_what_the_model_holds(row, more):
    config = TransformerConfig(**TABLE_3[row], **more)
    assert parameter_count(config) == count(config)


@pytest.mark.parametrize("row", MILLIONS)
def test_sizes_are_near_table_3(row):
    config = TransformerConfig(vocab_size=36000 if row == "big" else 41000, **TABLE_3[row])
    assert abs(parameter_count(config) / 1e6 - MILLIONS[row]) < 1


def test_heads_do_not_change_the_size():
    sizes = {parameter_count(TransformerConfig(**TABLE_3[row])) for row in ("base", "A 1", "A 32")}
    assert len(sizes) == 1


@pytest.mark.parametrize(
    ("vocabulary", "bias", "expected"),
    [
        (37000, False, 63_045_632),
        (37000, True, 63_082_496),
        (37041, False, 63_066_624),
        (37041, True, 63_103_488),  # in the training log of the authors' code
    ],
)
def test_base_sizes(vocabulary, bias, expected):
    config = TransformerConfig(vocab_size=vocabulary, attention_bias=bias)
    assert parameter_count(config) == count(config) == expected


def test_the_gain_scales_the_first_queries_keys_and_values_only():
    def begun(gain: float) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        return Transformer(TransformerConfig(9, 2, 8, 16, 2, attention_gain=gain)).state_dict()

    plain, halved = begun(1.0), begun(0.5)
    for name, weight in plain.items():
        gained = name.endswith(("query.weight", "key.weight", "value.weight"))
        assert_close(halved[name], weight * (0.5 if gained else 1.0), rtol=0, atol=0)


WRONG = {  # values that are out of range, for each field that holds a number
    **dict.fromkeys("vocab_size layers d_model d_ff heads d_k d_v max_length".split(), [0, 1.5]),
    **dict.fromkeys(
        ["dropout", "attention_dropout", "hidden_dropout"], [-0.1, 1.0, 1.5, math.nan, math.inf]
    ),
    "attention_gain": [0.0, -1.0, math.nan, math.inf],
    "pad": [-1, math.nan],
}


@pytest.mark.parametrize("name", WRONG)
def test_a_number_out_of_range_is_refused(name):
    for value in WRONG[name]:
        with pytest.raises(ValueError, match=f"^{name} is .*, not {value}"):
            TransformerConfig(**{name: value})


def test_every_number_has_a_range():
    names = {field.name for field in dataclasses.fields(TransformerConfig)}
    assert names - set(WRONG) == {"attention_bias", "norm_first", "positions"}


def test_presets_are_those_of_table_3():
    base, big = PRESETS["base"], PRESETS["big"]
    assert base == TransformerConfig(37000, 6, 512, 2048, 8, dropout=0.1)
    assert big == TransformerConfig(37000, 6, 1024, 4096, 16, dropout=0.3)
    assert parameter_count(big) == 214_171_648
    assert base.attention_dropout == base.hidden_dropout == 0.0
    assert not base.norm_first and not base.attention_bias and base.positions == "sinusoidal"


def test_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SMALL.layers = 3


# --- the parts -------------------------------------------------------------------------------


def test_residual_by_hand():
    x, f_x = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0.0, -1.0, 2.0, 1.0])
    normed = torch.tensor([-1.0, -1.0, 1.0, 1.0])
    assert_close(Residual(4, 0.0)(x, lambda x: f_x), normed, atol=1e-5, rtol=0)
    assert_close(Residual(4, 0.0, norm_first=True)(x, lambda x: f_x), x + f_x)


def test_residual_normalizes_what_a_pre_norm_sublayer_sees():
    seen = []
    x = 5 + 3 * torch.randn(2, 3, 8)
    Residual(8, 0.0, norm_first=True)(x, lambda x: seen.append(x) or x)
    assert_close(seen[0], nn.functional.layer_norm(x, (8,)))
    Residual(8, 0.0)(x, lambda x: seen.append(x) or x)
    assert seen[1] is x


@ORDERS
def test_dropout_falls_on_the_sublayer_and_never_on_the_sum(norm_first):
    residual, x = Residual(8, 1.0, norm_first), torch.randn(2, 3, 8)  # all of it is dropped
    expected = x if norm_first else nn.functional.layer_norm(x, (8,))
    assert_close(residual(x, lambda x: x.flip(-1)), expected)


@ORDERS
def test_layers_and_stacks_keep_the_shape(norm_first):
    config = dataclasses.replace(SMALL, norm_first=norm_first)
    x, y = torch.randn(3, 6, 12), torch.randn(3, 5, 12)
    mask, back = padding_mask(some_batch()[0]), causal_mask(5)
    assert EncoderLayer(config)(x, mask).shape == EncoderLayer(config)(x).shape == x.shape
    assert Encoder(config)(x, mask).shape == Encoder(config)(x).shape == x.shape
    assert DecoderLayer(config)(y, x, back, mask).shape == y.shape
    assert Decoder(config)(y, x, back, mask).shape == Decoder(config)(y, x).shape == y.shape


def test_stacks_end_with_a_norm_in_pre_norm_only():
    for stack in (Encoder, Decoder):
        assert isinstance(stack(SMALL).norm, nn.Identity)
        assert isinstance(stack(dataclasses.replace(SMALL, norm_first=True)).norm, nn.LayerNorm)


class Watched(View):
    """A view that notes which layers look through it."""

    def __init__(self, mask):
        super().__init__(mask)
        self.layers = []

    def attend(self, layer, query, key, value):
        self.layers.append(layer)
        return super().attend(layer, query, key, value)


def test_every_attention_looks_through_the_view_that_is_handed_in():
    model = Transformer(SMALL)
    source, target = some_batch()
    itself, across = (Watched(padding_mask(source)) for _ in range(2))
    back = Watched(causal_mask(target.size(1)))
    position = torch.arange(max(source.size(1), target.size(1)))
    memory, same = model.encode(source, itself, position[: source.size(1)])
    x = model.decode(target, memory, across, back, position[: target.size(1)])
    assert same is itself and torch.equal(model.embedding.logits(x), model(source, target))
    assert itself.layers == [layer.self_attention for layer in model.encoder.layers]
    assert across.layers == [layer.cross_attention for layer in model.decoder.layers]
    assert back.layers == [layer.self_attention for layer in model.decoder.layers]


def test_layers_have_weights_of_their_own_and_the_embedding_is_one():
    model = Transformer(SMALL)
    pointers = [weight.data_ptr() for weight in model.parameters()]
    assert len(pointers) == len(set(pointers))
    of_vocabulary = [name for name, w in model.named_parameters() if w.size(0) == 23]
    assert of_vocabulary == ["embedding.weight"]


# --- the model -------------------------------------------------------------------------------


def test_shapes_of_every_step():
    model, (source, target) = Transformer(SMALL), some_batch()
    memory, mask = model.encode(source)
    assert memory.shape == (3, 6, 12)
    assert mask.shape == (3, 1, 1, 6) and mask.dtype == torch.bool
    assert model.embed(target).shape == (3, 5, 12)
    assert model.decode(target, memory, mask).shape == (3, 5, 12)
    assert model(source, target).shape == (3, 5, 23)


@settings(max_examples=30, deadline=None)
@given(
    b=st.integers(1, 3),
    s=st.integers(1, 6),
    t=st.integers(1, 6),
    heads=st.integers(1, 3),
    width=st.integers(1, 3),
    layers=st.integers(1, 2),
    d_k=st.one_of(st.none(), st.integers(1, 4)),
    d_v=st.one_of(st.none(), st.integers(1, 4)),
    norm_first=st.booleans(),
    bias=st.booleans(),
    positions=st.sampled_from(["sinusoidal", "learned"]),
)
def test_any_sizes_fit_together(
    b, s, t, heads, width, layers, d_k, d_v, norm_first, bias, positions
):
    config = TransformerConfig(
        vocab_size=11,
        layers=layers,
        d_model=2 * heads * width,
        d_ff=5,
        heads=heads,
        d_k=d_k,
        d_v=d_v,
        norm_first=norm_first,
        attention_bias=bias,
        positions=positions,
        max_length=9,
    )
    model = Transformer(config)
    source, target = torch.randint(0, 11, (b, s)), torch.randint(0, 11, (b, t))
    scores = model(source, target)
    assert scores.shape == (b, t, 11) and scores.isfinite().all()
    assert sum(weight.numel() for weight in model.parameters()) == parameter_count(config)
    scores.sum().backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


def test_other_widths_of_keys_and_values():
    model = build(d_k=5, d_v=2)
    attention = model.decoder.layers[0].cross_attention
    assert attention.query.weight.shape == attention.key.weight.shape == (15, 12)
    assert attention.value.weight.shape == (6, 12) and attention.output.weight.shape == (12, 6)
    assert model(*some_batch()).shape == (3, 5, 23)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@ORDERS
def test_dtypes(dtype, norm_first):
    exact = build(norm_first=norm_first)
    model = build(norm_first=norm_first)
    scores = model.to(dtype)(*some_batch())
    assert scores.dtype == dtype
    loose = {torch.float32: 1e-4, torch.float64: 1e-12, torch.bfloat16: 0.3}[dtype]
    assert_close(scores.double(), exact(*some_batch()), atol=loose, rtol=0)


def test_mixed_precision():
    model = build(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        scores = model(*some_batch())
        scores.float().sum().backward()
    assert scores.dtype == torch.bfloat16 and scores.isfinite().all()
    assert all(weight.grad.dtype == torch.float32 for weight in model.parameters())


def test_tokens_are_embedded_at_the_positions_that_are_asked_for():
    for positions in ("sinusoidal", "learned"):
        model = build(positions=positions).eval()
        tokens = some_batch()[1]
        whole = model.embed(tokens)
        for t in range(5):
            assert_close(model.embed(tokens[:, t : t + 1], torch.tensor([t])), whole[:, t : t + 1])


def test_learned_positions_have_an_end():
    model = build(positions="learned", max_length=4)
    tokens = torch.ones(1, 4, dtype=torch.long)
    assert model(tokens, tokens).shape == (1, 4, 23)
    with pytest.raises(ValueError, match="learned"):
        model(torch.ones(1, 5, dtype=torch.long), tokens)


def test_sinusoids_have_no_end_and_no_place_in_a_checkpoint():
    model = build(dtype=torch.float32)
    long = torch.ones(1, 700, dtype=torch.long)
    assert model.embed(long).shape == (1, 700, 12)
    assert not [name for name in model.state_dict() if "position" in name]
    again = Transformer(SMALL)
    again.load_state_dict(model.state_dict())
    assert_close(again(*some_batch()), model(*some_batch()))


def test_dropout_is_random_in_training_only():
    for name in ("dropout", "attention_dropout", "hidden_dropout"):
        model, batch = build(**{name: 0.5}), some_batch()
        assert not torch.equal(model(*batch), model(*batch)), name
        assert torch.equal(model.eval()(*batch), model(*batch)), name
        assert_close(model(*batch), build()(*batch))


def test_each_dropout_is_where_its_setting_says():
    model = build(dropout=0.1, attention_dropout=0.2, hidden_dropout=0.3)
    rates = [module.p for module in model.modules() if isinstance(module, nn.Dropout)]
    assert rates.count(0.1) == 1 + 2 * 2 + 2 * 3  # the embedded input and the residuals
    assert rates.count(0.2) == 2 * 1 + 2 * 2  # attentions
    assert rates.count(0.3) == 2 + 2  # feed-forward networks
    assert len(rates) == 1 + 10 + 6 + 4


def test_start_values():
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(1000, 2, 64, 128, 4, attention_bias=True))
    for module in model.modules():
        if isinstance(module, nn.Linear):
            limit = (6 / (module.in_features + module.out_features)) ** 0.5
            assert 0.95 * limit < module.weight.abs().max() <= limit
            assert abs(module.weight.std() / limit - 3**-0.5) < 0.03  # uniform
            assert not module.bias.any()
        if isinstance(module, nn.LayerNorm):
            assert (module.weight == 1).all() and not module.bias.any()
    assert abs(model.embedding.weight.std() - 64**-0.5) < 0.01 * 64**-0.5  # not Xavier's


def test_the_same_seed_gives_the_same_model():
    for a, b in zip(build(3).parameters(), build(3).parameters(), strict=True):
        assert torch.equal(a, b)


def test_errors():
    with pytest.raises(ValueError, match="positions is one of sinusoidal, learned, not 'foo'"):
        Transformer(dataclasses.replace(SMALL, positions="foo"))
    with pytest.raises(ValueError, match="12 is not divisible by 5"):
        Transformer(dataclasses.replace(SMALL, heads=5))
    with pytest.raises(ValueError, match="even"):
        Transformer(dataclasses.replace(SMALL, d_model=9))


# --- who can see whom ------------------------------------------------------------------------

EVERY_DROPOUT = {"dropout": 0.3, "attention_dropout": 0.3, "hidden_dropout": 0.3}


def seeded(model: Transformer, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The model's scores; the same shapes get the same dropout."""
    torch.manual_seed(5)
    return model(source, target)


@MODES
@ORDERS
@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
@pytest.mark.parametrize("dropout", [{}, EVERY_DROPOUT], ids=["exact", "dropout"])
def test_causal(training, norm_first, positions, dropout):
    model = build(norm_first=norm_first, positions=positions, **dropout).train(training)
    source, target = some_batch()
    scores = seeded(model, source, target)
    for t in range(5):
        changed = target.clone()
        changed[:, t] = changed[:, t] % 22 + 1  # another word, never padding
        difference = (seeded(model, source, changed) - scores).abs().amax(-1)
        assert (difference[:, :t] < 1e-12).all()
        if not (training and dropout):
            assert (difference[:, t:] > 1e-9).all()


@ORDERS
def test_causal_by_gradient(norm_first):
    model, (source, target) = build(norm_first=norm_first), some_batch()
    memory, mask = model.encode(source)
    x = model.embed(target).detach().requires_grad_()
    out = model.decoder(x, memory, causal_mask(5), mask)  # (B, T, D)
    for t in range(5):
        (gradient,) = torch.autograd.grad(out[:, t, 0].sum(), x, retain_graph=True)
        seen = gradient.abs().sum(-1) > 0  # (B, T)
        assert seen[:, : t + 1].all() and not seen[:, t + 1 :].any()


@MODES
@ORDERS
def test_padding_of_the_source_changes_nothing(training, norm_first):
    model = build(norm_first=norm_first).train(training)
    source, target = some_batch()
    scores = model(source, target)
    for i, length in enumerate([6, 4, 1]):
        assert_close(model(source[i : i + 1, :length], target[i : i + 1])[0], scores[i])
    wider = nn.functional.pad(source, (0, 3))
    assert_close(model(wider, target), scores)


@MODES
@ORDERS
def test_padding_of_the_target_changes_nothing_before_it(training, norm_first):
    model = build(norm_first=norm_first).train(training)
    source, target = some_batch()
    padded = nn.functional.pad(target, (0, 4))
    assert_close(model(source, padded)[:, :5], model(source, target))


@MODES
@ORDERS
@pytest.mark.parametrize("dropout", [{}, EVERY_DROPOUT], ids=["exact", "dropout"])
def test_the_vector_of_padding_is_never_looked_at(training, norm_first, dropout):
    model = build(norm_first=norm_first, **dropout).train(training)
    source, target = some_batch()
    scores = seeded(model, source, target)[..., 1:]
    with torch.no_grad():
        model.embedding.weight[0] += 100.0
    assert_close(seeded(model, source, target)[..., 1:], scores)


def test_padding_of_the_source_changes_no_gradient():
    source, target = some_batch()
    gradients = []
    for width in (4, 6):
        model = build()
        model(source[1:2, :width], target[1:2]).square().sum().backward()
        gradients.append([weight.grad for weight in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        assert_close(a, b)


def test_another_id_can_be_the_padding():
    source, target = some_batch()
    model = build(pad=22)
    scores = model(source.masked_fill(source == 22, 1)[:1], target[:1])
    padded = nn.functional.pad(source.masked_fill(source == 22, 1)[:1], (0, 2), value=22)
    assert_close(model(padded, target[:1]), scores)


@MODES
@ORDERS
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dropout", [{}, EVERY_DROPOUT], ids=["exact", "dropout"])
def test_source_of_nothing_but_padding_gives_no_nan(training, norm_first, dtype, dropout):
    model = build(dtype=dtype, norm_first=norm_first, **dropout).train(training)
    source, target = some_batch()
    source[1] = 0
    scores = model(source, target)
    assert scores.isfinite().all()
    scores.sum().backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())


def test_a_sentence_does_not_see_its_neighbors_in_the_batch():
    model, (source, target) = build(), some_batch()
    scores = model(source, target)
    for i in range(3):
        assert_close(model(source[i : i + 1], target[i : i + 1])[0], scores[i])
    order = torch.tensor([2, 0, 1])
    assert_close(model(source[order], target[order]), scores[order])


# --- against PyTorch -------------------------------------------------------------------------


def pairs(ours: nn.Module, theirs: nn.Module, cross: bool):
    """Our and their modules that hold the same weights, layer by layer: (ours, theirs)."""
    for a, b in zip(ours.layers, theirs.layers, strict=True):
        yield (a.feed_forward.inner, b.linear1)
        yield (a.feed_forward.outer, b.linear2)
        norms = [b.norm1, b.norm2, b.norm3] if cross else [b.norm1, b.norm2]
        yield from zip([residual.norm for residual in a.residuals], norms, strict=True)
        yield (a.self_attention, b.self_attn)
        if cross:
            yield (a.cross_attention, b.multihead_attn)
    if isinstance(ours.norm, nn.LayerNorm):
        yield (ours.norm, theirs.norm)


def tensors(ours: Transformer, theirs: nn.Transformer):
    """All weights: (our tensors, their tensor); their attention holds three of ours in one."""
    both = [(ours.encoder, theirs.encoder, False), (ours.decoder, theirs.decoder, True)]
    for a, b in itertools.chain(*(pairs(*stack) for stack in both)):
        for kind in ("weight", "bias"):
            if isinstance(b, nn.MultiheadAttention):
                three = [getattr(m, kind) for m in (a.query, a.key, a.value)]
                yield three, getattr(b, f"in_proj_{kind}")
                yield [getattr(a.output, kind)], getattr(b.out_proj, kind)
            else:
                yield [getattr(a, kind)], getattr(b, kind)


def twins(norm_first: bool, activation: str = "relu") -> tuple[Transformer, nn.Transformer]:
    """Our model and PyTorch's, of the same weights. The last norms stay in pre-norm only."""
    ours = build(norm_first=norm_first, attention_bias=True, layers=3)
    theirs = nn.Transformer(
        12, 3, 3, 3, 20, 0.0, activation, batch_first=True, norm_first=norm_first
    ).double()
    if not norm_first:
        theirs.encoder.norm = theirs.decoder.norm = None
    with torch.no_grad():
        for mine, their in tensors(ours, theirs):
            their.copy_(torch.cat(mine))
    return ours, theirs


def by_theirs(ours, theirs, source, target):
    padding = source == 0  # theirs: True where attention may not look
    out = theirs(
        ours.embed(source),
        ours.embed(target),
        tgt_mask=~causal_mask(target.size(1)),
        src_key_padding_mask=padding,
        memory_key_padding_mask=padding,
    )
    return ours.embedding.logits(out)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.filterwarnings("ignore:.*nested tensors")
@MODES
@ORDERS
def test_outputs_are_those_of_torch(norm_first, training):
    ours, theirs = (model.train(training) for model in twins(norm_first))
    source, target = some_batch()
    expected = by_theirs(ours, theirs, source, target)
    assert_close(ours(source, target), expected, atol=1e-12, rtol=0)
    full = torch.randint(1, 23, (2, 9))  # without padding
    assert_close(ours(full, full), by_theirs(ours, theirs, full, full), atol=1e-12, rtol=0)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@ORDERS
def test_gradients_are_those_of_torch(norm_first):
    ours, theirs = twins(norm_first)
    source, target = some_batch()
    direction = torch.randn(3, 5, 23, dtype=torch.float64)

    (by_theirs(ours, theirs, source, target) * direction).sum().backward()
    of_embedding = ours.embedding.weight.grad
    ours.zero_grad(set_to_none=True)
    (ours(source, target) * direction).sum().backward()

    assert_close(ours.embedding.weight.grad, of_embedding, atol=1e-11, rtol=0)
    compared = 0
    for mine, their in tensors(ours, theirs):
        assert their.grad.abs().max() > 0
        assert_close(torch.cat([w.grad for w in mine]), their.grad, atol=1e-11, rtol=0)
        compared += their.numel()
    everything = sum(weight.numel() for weight in theirs.parameters())
    assert compared == everything == parameter_count(ours.config) - ours.embedding.weight.numel()


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_another_activation_of_torch_is_told_apart():
    ours, theirs = twins(norm_first=False, activation="gelu")
    source, target = some_batch()
    difference = ours(source, target) - by_theirs(ours, theirs, source, target)
    assert difference.abs().max() > 1e-3
