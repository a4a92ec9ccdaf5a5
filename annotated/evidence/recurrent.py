# Tangled from chapters/evidence/why-self-attention.md: change it there, then run `make tangle`.
"""A recurrent layer: an LSTM from its equations (Section 4, Table 1)."""

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]  # hidden and cell, each (..., D)


class LSTM(nn.Module):
    """A long short-term memory, the recurrent layer of Table 1.

    Gates input, forget, cell and output stand in this order in the rows of both matrices, as in
    `nn.LSTM`. d_in: the width of the words, where it is not d_model.
    """

    def __init__(self, d_model: int, d_in: int | None = None):
        super().__init__()
        self.input = nn.Linear(d_in or d_model, 4 * d_model)
        self.state = nn.Linear(d_model, 4 * d_model, bias=False)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """x (B, S, D') -> the hidden states (B, S, D), and the last state, two of (B, D).

        state: where to begin, two of (B, D); None: at zeros.
        """
        if state is None:
            nothing = x.new_zeros(x.size(0), self.state.in_features)
            state = nothing, nothing
        hidden = []
        for inputs in self.input(x).unbind(1):  # of each word, (B, 4 D)
            state = self.step(inputs, state)
            hidden.append(state[0])
        return torch.stack(hidden, 1), state

    def step(self, inputs: Tensor, state: State) -> State:
        """inputs (..., 4 D): what `input` makes of a word; the state before -> the next."""
        hidden, cell = state
        i, f, g, o = (inputs + self.state(hidden)).chunk(4, -1)  # each (..., D)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        return o.sigmoid() * cell.tanh(), cell
