"""One model: what Section 3 shows is what trains, validates and translates."""

import io
from types import SimpleNamespace

import pytest
import torch

from annotated.cli.main import main
from annotated.data.batching import collate
from annotated.data.tokenizer import Tokenizer
from annotated.model import attention, transformer
from annotated.model.transformer import Transformer, TransformerConfig
from annotated.training.checkpoints import save_checkpoint
from annotated.training.loop import Run, TrainingConfig, validation_loss
from annotated.translation import search

PAIRS = [([5, 6, 7], [8, 9]), ([5], [6, 7, 8])]


class Raised(Exception):
    """What a part that must not be called raises."""


PARTS = {
    "attention": (attention, "attention"),
    "MultiHeadAttention": (attention.MultiHeadAttention, "forward"),
    "EncoderLayer": (transformer.EncoderLayer, "forward"),
    "DecoderLayer": (transformer.DecoderLayer, "forward"),
    "Encoder": (transformer.Encoder, "forward"),
    "Decoder": (transformer.Decoder, "forward"),
    "Transformer.embed": (transformer.Transformer, "embed"),
    "Transformer.encode": (transformer.Transformer, "encode"),
    "Transformer.decode": (transformer.Transformer, "decode"),
}


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A small model, saved where `annotated translate` finds it."""
    torch.manual_seed(0)
    tokenizer = Tokenizer.train(["the dog sleeps"], 270)
    model = Transformer(TransformerConfig(len(tokenizer), 1, 16, 32, heads=2))
    save_checkpoint(tmp_path / "model", model, tokenizer)
    monkeypatch.chdir(tmp_path)
    return model


def translated(monkeypatch):
    """`annotated translate` on one line."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"dog\n"), isatty=bool))
    return main(["translate", "--model", "model", "--extra", "2"])


def uses(model, monkeypatch):
    """Each way in which the package uses a model."""
    batch, source = collate(PAIRS), collate(PAIRS).source
    return {
        "training": lambda: Run(model, TrainingConfig()).update(batch),
        "validation": lambda: validation_loss(model, [batch]),
        "greedy decoding": lambda: search.greedy(model, source, extra=2),
        "beam search": lambda: search.beam_search(model, source),
        "annotated translate": lambda: translated(monkeypatch),
    }


@pytest.mark.parametrize("part", PARTS)
def test_there_is_no_way_around_a_part_of_the_model(part, model, monkeypatch):
    def broken(*args, **kwargs):
        raise Raised(part)

    monkeypatch.setattr(*PARTS[part], broken)
    for use in uses(model, monkeypatch).values():
        with pytest.raises(Raised):
            use()


def test_a_single_query_looks_by_the_fused_function_in_one_named_place(model, monkeypatch):
    def broken(*args, **kwargs):
        raise Raised

    monkeypatch.setattr(search.F, "scaled_dot_product_attention", broken)
    expected = {"greedy decoding"}
    raised = set()
    for name, use in uses(model, monkeypatch).items():
        try:
            use()
        except Raised:
            raised.add(name)
    assert raised == expected


def test_every_use_works_while_nothing_is_broken(model, monkeypatch, capsysbinary):
    for use in uses(model, monkeypatch).values():
        use()
    assert capsysbinary.readouterr().out.count(b"\n") == 1
