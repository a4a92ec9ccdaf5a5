"""How far a gradient reaches: the norms are those of the chain rule, step by step."""

import pytest
import torch
from torch.testing import assert_close

from annotated.evidence.reach import KINDS, Reader, gradient_norms
from annotated.model.transformer import TransformerConfig

CONFIG = TransformerConfig(30, layers=2, d_model=8, d_ff=16, heads=2, dropout=0.0)


@pytest.fixture(params=KINDS)
def reader(request):
    torch.manual_seed(0)
    return Reader(request.param, CONFIG).double()


def test_no_word_sees_what_follows_it(reader):
    tokens = torch.randint(3, 30, (2, 9))
    changed = tokens.clone()
    changed[:, -1] = 2
    one, other = (reader.losses(reader.embedding(ids), ids) for ids in (tokens, changed))
    assert one.shape == (2, 8)
    assert_close(one[:, :-1], other[:, :-1])
    assert not torch.isclose(one[:, -1], other[:, -1]).any()


def test_norms_are_counted_backwards_from_the_word_before_the_loss(reader):
    """By finite differences: the last loss, when one entry of a word moves a little."""
    tokens = torch.randint(3, 30, (1, 6))
    norms = gradient_norms(reader, tokens, furthest=3)
    assert norms.shape == (1, 4)
    x = reader.embedding(tokens).detach()
    for k in range(4):
        slopes = []
        for i in range(8):
            nudge = torch.zeros_like(x)
            nudge[0, -2 - k, i] = 1e-6
            up, down = (reader.losses(x + s * nudge, tokens)[0, -1] for s in (1, -1))
            slopes.append((up - down) / 2e-6)
        assert_close(norms[0, k], torch.stack(slopes).norm(), rtol=1e-5, atol=1e-9)


def test_a_recurrence_forgets_and_attention_does_not():
    tokens = torch.randint(3, 30, (4, 100))
    torch.manual_seed(0)
    far = {}
    for kind in KINDS:
        norms = gradient_norms(Reader(kind, CONFIG).double(), tokens, 90).median(0).values
        far[kind] = (norms[90] / norms[1]).item()
    assert far["recurrent"] < 1e-9 and far["LSTM"] < 1e-9 < 1e-3 < far["Transformer"]
