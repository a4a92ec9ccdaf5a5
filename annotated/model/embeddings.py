# Tangled from chapters/model/embeddings.md: change it there, then run `make tangle`.
"""One matrix that embeds the source and the target and scores the next token (Section 3.4)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SharedEmbedding(nn.Module):
    """The matrix E (V, D), drawn from N(0, 1/D): a row for each token of the vocabulary.

    Call it to embed ids, at the source and at the target; call `logits` to score the next
    token.
    """

    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocab_size, d_model))
        nn.init.normal_(self.weight, std=d_model**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Rows of E times sqrt(D): integer ids (...) -> (..., D).

        IndexError for an id outside the vocabulary (on a GPU, a device-side assertion).
        """
        return F.embedding(tokens, self.weight) * math.sqrt(self.weight.size(1))

    def logits(self, x: Tensor) -> Tensor:
        """x E^T, a score for each token of the vocabulary: (..., D) -> (..., V)"""
        return F.linear(x, self.weight)
