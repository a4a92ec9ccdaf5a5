# Tangled from chapters/evidence/recurrent-translation.md: change it there, then run `make tangle`.
"""A recurrent encoder-decoder with additive attention, or with none (Section 4)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from annotated.data.batching import Batch
from annotated.evidence.recurrent import LSTM, State
from annotated.fast.packing import decoder_outputs
from annotated.model.attention import masked_softmax
from annotated.model.embeddings import SharedEmbedding
from annotated.ranges import Count, Rate, Whole, check_ranges
from annotated.translation.search import decoding_of


@dataclass(frozen=True)
class RecurrentConfig:
    """The sizes of a recurrent translator."""

    vocab_size: Count = 37000  # V, tokens in one vocabulary for source and target
    layers: Count = 2  # N, LSTMs on top of each other, in the encoder and in the decoder
    d_model: Count = 512  # D, the width of words and states; half of it for each direction
    dropout: Rate = 0.1  # on embedded words, on what a layer hands up, and on the output
    attention: bool = True  # look at each word of the source; or at the encoder's last state only
    pad: Whole = 0  # the id that fills a batch up
    reach: ClassVar[None] = None  # it knows no positions: any number will do

    def __post_init__(self) -> None:
        check_ranges(self)


class RecurrentEncoder(nn.Module):
    """N LSTMs that read from the left, and N from the right."""

    def __init__(self, config: RecurrentConfig):
        super().__init__()
        n, d = config.layers, config.d_model
        if d % 2:
            raise ValueError(f"d_model {d} is not divisible by 2 directions")
        between = config.dropout if n > 1 else 0.0  # layers
        self.lstm = nn.LSTM(d, d // 2, n, batch_first=True, dropout=between, bidirectional=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, S, D), mask (B, 1, S), True at words -> (B, S, D), zeros at padding"""
        lengths = mask.sum((1, 2)).clamp(min=1).cpu()  # (B,)
        words = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        states, _ = self.lstm(words)
        return pad_packed_sequence(states, batch_first=True, total_length=x.size(1))[0]


class AdditiveAttention(nn.Module):
    """Scores v tanh(W q + U k) by a small network (Section 3.2.1; Bahdanau et al. 2015)."""

    def __init__(self, d_model: int):
        super().__init__()
        self.query = nn.Linear(d_model, d_model, bias=False)
        self.key = nn.Linear(d_model, d_model, bias=False)
        self.score = nn.Linear(d_model, 1, bias=False)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Query (B, T, D), value (B, S, D), mask (B, 1, S) -> what is read (B, T, D), and weights.

        key (B, S, D) is what the map of that name makes of the values, once for all queries. The
        weights are (B, T, S).
        """
        met = (self.query(query)[:, :, None] + key[:, None]).tanh()  # (B, T, S, D)
        weights = masked_softmax(self.score(met).squeeze(-1), mask)  # (B, T, S)
        return weights @ value, weights


class Source(NamedTuple):
    """What the decoder knows of the source."""

    memory: Tensor  # (B, S, D)
    key: Tensor  # (B, S, D), what the attention compares with; without one it is the memory
    mask: Tensor  # (B, 1, S)


class Written(NamedTuple):
    """What the decoder knows of the words that it has written: k translations side by side."""

    layers: list[State]  # of each layer, two of (B, k, D)
    output: Tensor  # (B, k, D), its last

    def each(self, change: Callable[[Tensor], Tensor]) -> "Written":
        """The same change to all its tensors."""
        layers = [(change(hidden), change(cell)) for hidden, cell in self.layers]
        return Written(layers, change(self.output))


class RecurrentDecoder(nn.Module):
    """N LSTMs, one word after the other; with attention, the last output is fed in with a word."""

    def __init__(self, config: RecurrentConfig):
        super().__init__()
        n, d = config.layers, config.d_model
        self.start = nn.Linear(d, 2 * n * d)
        self.attention = AdditiveAttention(d) if config.attention else None
        self.join = nn.Linear(2 * d, d, bias=False) if config.attention else nn.Identity()
        first = LSTM(d, 2 * d if config.attention else d)
        self.layers: Any = nn.ModuleList([first, *(LSTM(d) for _ in range(n - 1))])
        self.dropout = nn.Dropout(config.dropout)

    def begin(self, memory: Tensor, mask: Tensor) -> tuple[Source, Written]:
        """memory (B, S, D), mask (B, 1, S) -> the source, and what there is before the first word.

        They are made from the encoder's last state to the right, at the last word, and its last
        to the left, at the first word.
        """
        to_right, to_left = memory.chunk(2, -1)  # (B, S, D / 2)
        end = (mask.sum(2, keepdim=True) - 1).clamp(min=0)  # (B, 1, 1)
        last = to_right.gather(1, end.expand(-1, 1, to_right.size(2)))  # (B, 1, D / 2)
        both = torch.cat([last, to_left[:, :1]], -1)  # (B, 1, D)
        hidden, cell = self.start(both).chunk(2, -1)  # (B, 1, N D)
        d = memory.size(2)
        layers = list(zip(hidden.tanh().split(d, -1), cell.split(d, -1), strict=True))
        key = self.attention.key(memory) if self.attention else memory
        return Source(memory, key, mask), Written(layers, torch.zeros_like(both))

    def step(self, x: Tensor, written: Written, source: Source) -> Written:
        """x (B, k, D), the next word of each translation -> the state with it"""
        x = torch.cat([x, written.output], -1) if self.attention else x  # (B, k, 2 D)
        layers = []
        for layer, state in zip(self.layers, written.layers, strict=True):
            layers.append(layer.step(layer.input(x), state))
            x = self.dropout(layers[-1][0])  # (B, k, D)
        if self.attention:
            read, _ = self.attention(x, source.key, source.memory, source.mask)  # (B, k, D)
            x = self.dropout(self.join(torch.cat([x, read], -1)).tanh())  # (B, k, D)
        return Written(layers, x)


class RecurrentTranslator(nn.Module):
    """An encoder-decoder of LSTMs: tokens in, scores of the next token out."""

    def __init__(self, config: RecurrentConfig):
        super().__init__()
        self.config = config
        self.embedding = SharedEmbedding(config.vocab_size, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = RecurrentEncoder(config)
        self.decoder = RecurrentDecoder(config)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """ids (B, S) and, shifted right, (B, T) -> logits (B, T, V)"""
        return self.embedding.logits(self.decode(target, *self.encode(source)))

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """ids (B, S) -> memory (B, S, D) and where there are words, (B, 1, S)"""
        mask = (source != self.config.pad)[:, None]  # (B, 1, S)
        return self.encoder(self.embed(source), mask), mask

    def decode(self, target: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """ids (B, T), memory (B, S, D), mask (B, 1, S) -> (B, T, D), before the logits"""
        source, written = self.decoder.begin(memory, mask)
        outputs = []
        for x in self.embed(target).split(1, 1):  # (B, 1, D)
            written = self.decoder.step(x, written, source)
            outputs.append(written.output)
        return torch.cat(outputs, 1)

    def embed(self, tokens: Tensor) -> Tensor:
        """ids (B, T) -> (B, T, D)"""
        return self.dropout(self.embedding(tokens))


@decoder_outputs.register
def real_outputs(model: RecurrentTranslator, batch: Batch) -> tuple[Tensor, Tensor]:
    """The decoder's output for each token to predict (N, D), and that token (N,)."""
    x = model.decode(batch.target_in, *model.encode(batch.source))  # (B, T, D)
    real = batch.target_out != model.config.pad  # (B, T)
    return x[real], batch.target_out[real]


class RecurrentDecoding:
    """k translations of each sentence under way: tokens in, the logits of the next ones out."""

    def __init__(self, model: RecurrentTranslator, source: Tensor, k: int = 1):
        """source (B, S) of ids is encoded here, once."""
        self.model = model
        self.source, written = model.decoder.begin(*model.encode(source))
        self.written = written.each(lambda x: x.expand(-1, k, -1))  # (B, k, D)

    def step(self, token: Tensor, parent: Tensor | None = None) -> Tensor:
        """token (B, k) of ids, the last ones written -> logits of the next ones (B, k, V).

        parent (B, k) says which of the k translations of the step before each one continues.
        """
        if parent is not None:
            self.written = self.written.each(
                lambda x: x.gather(1, parent[..., None].expand_as(x))  # (B, k, D)
            )
        x = self.model.embed(token)  # (B, k, D)
        self.written = self.model.decoder.step(x, self.written, self.source)
        return self.model.embedding.logits(self.written.output)  # (B, k, V)

    def select(self, rows: Tensor) -> None:
        """Go on with these rows (n,) of the batch only."""
        self.source = Source(*(x[rows] for x in self.source))
        self.written = self.written.each(lambda x: x[rows])


@decoding_of.register
def recurrent_decoding(
    model: RecurrentTranslator, source: Tensor, k: int = 1, extra: int = 50
) -> RecurrentDecoding:
    """A state needs no room beforehand, so `extra` is not asked for."""
    return RecurrentDecoding(model, source, k)
