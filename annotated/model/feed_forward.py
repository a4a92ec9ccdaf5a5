# Tangled from chapters/model/feed-forward.md: change it there, then run `make tangle`.
"""The position-wise feed-forward network (Section 3.3)."""

from torch import Tensor, nn


class FeedForward(nn.Module):
    """max(0, x W1 + b1) W2 + b2, the same map at every position (equation 2).

    d_model is the width D of what goes in and comes out, d_ff the width F in between. The
    dropout on the hidden numbers is not in the paper, so it is 0 unless asked for.
    """

    def __init__(self, d_model: int, d_ff: int, dropout: float = 0.0):
        super().__init__()
        self.inner = nn.Linear(d_model, d_ff)
        self.outer = nn.Linear(d_ff, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D), any leading dimensions -> (..., D)"""
        hidden = self.inner(x).relu()  # (..., F)
        return self.outer(self.dropout(hidden))  # (..., D)
