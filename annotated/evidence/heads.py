# Tangled from chapters/evidence/inside-the-heads.md: change it there, then run `make tangle`.
"""The attention weights of every head, kept and shown (Section 4, Figures 3 to 5)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from annotated.data.tokenizer import BOS, EOS, Tokenizer
from annotated.data.tokenizer import spaced as in_one_line
from annotated.model.attention import MultiHeadAttention, View, causal_mask, padding_mask
from annotated.model.transformer import Transformer
from annotated.pictures import HeadView, Look, head_view
from annotated.translation.search import beam_search


class KeepingView(View):
    """Equation 1 as ever, and the weights that each layer makes are kept, in order."""

    def __init__(self, mask: Tensor | None = None):
        super().__init__(mask)
        self.weights: list[Tensor] = []  # of each layer (B, H, T, S)

    def attend(
        self, layer: MultiHeadAttention, query: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """As in `View`: what the heads found (B, H, T, K'), and the weights (B, H, T, S)."""
        heads, weights = super().attend(layer, query, key, value)
        assert weights is not None  # equation 1 makes them
        self.weights.append(weights)
        return heads, weights


@torch.no_grad()
def attention_weights(model: Transformer, source: Tensor, target: Tensor) -> dict[str, Tensor]:
    """The weights of all layers and heads in one forward pass, by the name of the attention.

    source (B, S) and target (B, T) of ids, as the model reads them in training. "encoder" has
    (N, B, H, S, S), "decoder" (N, B, H, T, T), "cross-attention" (N, B, H, T, S). Puts the model
    into evaluation mode.
    """
    model.eval()
    there = padding_mask(source, model.config.pad)
    encoder, across = KeepingView(there), KeepingView(there)
    decoder = KeepingView(causal_mask(target.size(1), target.device))
    memory, _ = model.encode(source, encoder)
    model.decode(target, memory, across, decoder)
    views = {"encoder": encoder, "decoder": decoder, "cross-attention": across}
    return {name: torch.stack(view.weights) for name, view in views.items()}


NAMES = {"<bos>": "[begin]", "<eos>": "[end]", " ": "␣"}


def labels(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """A name for each id: its text without its space, after a dot where it goes on with a word."""
    pieces = tokenizer.pieces(ids)
    spaced = any(piece.startswith(" ") for piece in pieces)  # else all are words
    return [
        NAMES.get(piece) or "·" * (spaced and piece[0].isalnum()) + (piece.strip() or piece)
        for piece in pieces
    ]


def look_inside(
    model: Transformer, tokenizer: Tokenizer, sentence: str, target: str | None = None
) -> dict[str, Look]:
    """All weights for a sentence with the tokens that they stand between, by name as above.

    target: its translation; None: the best that a beam search finds. The weights of a `Look` are
    (N, H, T, S). ValueError: the sentence is blank, or the model has no heads.
    """
    if not isinstance(model, Transformer):
        raise ValueError(f"a {type(model).__name__} has no heads to look into")
    ids = tokenizer.encode(in_one_line(sentence))
    if not ids:
        raise ValueError("the sentence is blank: there is nothing to look at")
    source = torch.tensor([[*ids, EOS]], device=next(model.parameters()).device)  # (1, S)
    if target is None:
        written = beam_search(model, source)[0][0].ids
    else:
        written = tokenizer.encode(in_one_line(target))
    weights = attention_weights(model, source, source.new_tensor([[BOS, *written]]))
    here = labels(tokenizer, [*ids, EOS])
    reads, writes = (labels(tokenizer, each) for each in ([BOS, *written], [*written, EOS]))
    sides = {
        "encoder": (here, here, ()),
        "decoder": (reads, reads, writes),
        "cross-attention": (reads, here, writes),
    }
    return {
        name: Look(name, rows, columns, weights[name][:, 0].cpu(), written)
        for name, (rows, columns, written) in sides.items()
    }


def heads(
    model: Transformer,
    tokenizer: Tokenizer,
    sentence: str,
    target: str | None = None,
    caption: str = "",
    **begin: Any,
) -> HeadView:
    """A view into all heads of any model on a sentence, for a notebook to show (Figures 3 to 5).

    target: as in `look_inside`. `begin`, where the view begins: look="encoder", "decoder" or
    "cross-attention", layer and head from 1, word: a row's token, form: "lines" or "matrix".
    ValueError where the sentence is blank, or the view has no such beginning.
    """
    looks = [*look_inside(model, tokenizer, sentence, target).values()]
    words = f"All heads of a layer, and one of them closely, on “{in_one_line(sentence)}”"
    return head_view(looks, caption or words, **begin)
