# Tangled from chapters/evidence/recurrent-translation.md: change it there, then run `make tangle`.
"""How far a gradient reaches: language models on three kinds of layer (Section 4)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from annotated.model.attention import causal_mask
from annotated.model.embeddings import SharedEmbedding
from annotated.model.transformer import Encoder, TransformerConfig, position_encoding


class Looking(nn.Module):
    """Layers of the Transformer in which a word sees itself and those before it."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.positions, self.encoder = position_encoding(config), Encoder(config)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """(B, S, D) -> (B, S, D), and no state"""
        return self.encoder(self.positions(x), causal_mask(x.size(1), x.device)), None


def recurrent(layer: type[nn.RNN | nn.LSTM]) -> Callable[[TransformerConfig], nn.Module]:
    """A recurrent stack of PyTorch's, of the sizes that a configuration says."""
    return lambda config: layer(config.d_model, config.d_model, config.layers, batch_first=True)


KINDS: dict[str, Callable[[TransformerConfig], nn.Module]] = {
    "recurrent": recurrent(nn.RNN),
    "LSTM": recurrent(nn.LSTM),
    "Transformer": Looking,
}


class Reader(nn.Module):
    """A language model on one of the `KINDS` of layers: what is the next token?"""

    def __init__(self, kind: str, config: TransformerConfig):
        super().__init__()
        self.embedding = SharedEmbedding(config.vocab_size, config.d_model)
        self.stack = KINDS[kind](config)

    def losses(self, x: Tensor, tokens: Tensor) -> Tensor:
        """x (B, n, D), the embedded tokens (B, n) -> the loss at each but the last, (B, n - 1)"""
        logits = self.embedding.logits(self.stack(x)[0][:, :-1])  # (B, n - 1, V)
        return F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")


def gradient_norms(reader: Reader, tokens: Tensor, furthest: int) -> Tensor:
    """tokens (B, n) -> norms (B, furthest + 1) of the last loss's gradient, k tokens before it."""
    x = reader.embedding(tokens).detach().requires_grad_()  # (B, n, D)
    [gradient] = torch.autograd.grad(reader.losses(x, tokens)[:, -1].sum(), x)
    return gradient[:, :-1].norm(dim=-1).flip(1)[:, : furthest + 1]
