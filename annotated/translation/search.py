# Tangled from chapters/translation/search.md: change it there, then run `make tangle`.
"""Greedy decoding and beam search, with keys and values kept from token to token (Section 6.1)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from annotated.data.batching import pad_sequences
from annotated.data.tokenizer import BOS, EOS, PAD, Tokenizer
from annotated.model.attention import MultiHeadAttention, View, padding_mask
from annotated.model.transformer import Transformer
from annotated.translation.hypotheses import Hypothesis, SearchConfig, Translator, length_penalty
from annotated.translation.sentences import Seen


class KeptView(View):
    """Keys and values are computed once for each layer, and kept; as it stands, the source's."""

    def __init__(self, mask: Tensor | None = None):
        super().__init__(mask)
        self.kept: dict[MultiHeadAttention, tuple[Tensor, ...]] = {}  # each layer's two

    def keys_values(self, layer: MultiHeadAttention, memory: Tensor) -> tuple[Tensor, ...]:
        """memory (B, S, D) -> keys (B, H, S, K) and values (B, H, S, K')."""
        if layer not in self.kept:
            two = layer.keys_values(memory)
            self.kept[layer] = tuple(x.contiguous() for x in two)  # they are read in every step
        return self.kept[layer]

    def attend(
        self, layer: MultiHeadAttention, query: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """query (B, H, k, K), and what is kept -> (B, H, k, K'); for k = 1 without the weights."""
        if query.size(2) > 1 or layer.keep_weights:
            return super().attend(layer, query, key, value)
        return F.scaled_dot_product_attention(query, key, value, self.mask), None

    def select(self, rows: Tensor) -> None:
        """Keep these rows (n,) of the batch."""
        self.mask = None if self.mask is None else self.mask[rows]
        self.kept = {layer: tuple(x[rows] for x in two) for layer, two in self.kept.items()}


class GrowingView(KeptView):
    """How new tokens see what is written: their keys and values join those that are kept."""

    def __init__(self, room: int):
        """room: the entries that there will be at most"""
        super().__init__()
        self.room = room
        self.length = 0  # entries of the steps before

    def keys_values(self, layer: MultiHeadAttention, memory: Tensor) -> tuple[Tensor, ...]:
        """The newest positions (B, k, D) -> all keys (B, H, n, K) and values (B, H, n, K')."""
        new = layer.keys_values(memory)  # (B, H, k, K), (B, H, k, K')
        if layer not in self.kept:
            self.kept[layer] = tuple(x.new_empty(*x.shape[:2], self.room, x.size(3)) for x in new)
        n = self.length + memory.size(1)
        for whole, x in zip(self.kept[layer], new, strict=True):
            whole[:, :, self.length : n] = x
        return tuple(whole[:, :, :n] for whole in self.kept[layer])


class Decoding:
    """k translations of each sentence under way: tokens in, the logits of the next ones out."""

    def __init__(self, model: Transformer, source: Tensor, k: int = 1, extra: int = 50):
        """source (B, S) of ids is encoded here, once; there is room for S + extra tokens."""
        self.model = model
        mask = padding_mask(source)  # (B, 1, 1, S)
        self.memory, _ = model.encode(source, mask)  # (B, S, D)
        self.across = KeptView(None if mask.all() else mask)  # without padding, fewer operations
        self.back = GrowingView(k * (source.size(1) + extra))
        self.own = torch.eye(k, dtype=torch.bool, device=source.device)  # (k, k)
        self.position = torch.zeros(1, dtype=torch.int64, device=source.device)  # of the next one

    def step(self, token: Tensor, parent: Tensor | None = None) -> Tensor:
        """token (B, k) of ids, the last ones written -> logits of the next ones (B, k, V).

        parent (B, k) says which of the k translations of the step before each one continues.
        """
        if token.size(1) > 1:
            self.back.mask = self.visible(parent, len(token))
        # the k stand at one position, side by side
        x = self.model.decode(
            token, self.memory, self.across, mask=self.back, position=self.position
        )
        self.back.length += token.size(1)
        self.position = self.position + 1
        return self.model.embedding.logits(x)  # (B, k, V)

    def visible(self, parent: Tensor | None, b: int) -> Tensor:
        """Each of the k sees what its parent saw, and its own new entry: (B, 1, k, n)."""
        own, before = self.own.expand(b, 1, *self.own.shape), self.back.mask  # (B, 1, k, k)
        if before is None:
            return own
        if parent is not None:
            before = before.gather(2, parent[:, None, :, None].expand_as(before))
        return torch.cat([before, own], 3)

    def select(self, rows: Tensor) -> None:
        """Go on with these rows (n,) of the batch only."""
        self.across.select(rows)
        self.back.select(rows)


@singledispatch
def decoding_of(model: Any, source: Tensor, k: int = 1, extra: int = 50) -> Any:
    """A `Decoding` of this model; one that keeps something else registers its own."""
    return Decoding(model, source, k, extra)


def limits(source: Tensor, extra: int) -> Tensor:
    """The most tokens that each translation may have: (B, S) of ids -> (B,)"""
    return (source != PAD).sum(1) + extra


def greedy(model: Transformer, source: Tensor, extra: int = 50) -> Tensor:
    """The most probable token, again and again, until each sentence has ended.

    source (B, S) of ids -> (B, T) of ids, without BOS; EOS where a sentence ended by itself, PAD
    after it. A sentence has at most its source's length + `extra` tokens. Puts the model into
    evaluation mode.
    """
    written: list[Tensor] = []
    with torch.inference_mode():
        decoding = decoding_of(model.eval(), source, extra=extra)
        limit = limits(source, extra)  # (B,)
        token = torch.full_like(limit, BOS)
        ended = torch.zeros_like(limit, dtype=torch.bool)
        while not ended.all():
            logits = decoding.step(token[:, None])[:, 0]  # (B, V)
            token = logits.argmax(-1).masked_fill(ended, PAD)  # (B,)
            written.append(token)
            ended = ended | (token == EOS) | (len(written) >= limit)
    return torch.stack(written, 1)  # (B, T)


@dataclass
class Beam:
    """The open hypotheses of B sentences, k for each, the most probable first."""

    written: Tensor  # (B, k, 1 + t) of ids, BOS first
    total: Tensor  # (B, k): log-probabilities, -inf where there is no hypothesis
    parent: Tensor  # (B, k): which hypothesis of the step before each one continues

    @classmethod
    def start(cls, b: int, k: int, device: torch.device) -> "Beam":
        """At first there is one hypothesis, the empty one."""
        total = torch.full((b, k), -math.inf, device=device)
        total[:, 0] = 0.0
        written = torch.full((b, k, 1), BOS, device=device)
        return cls(written, total, torch.arange(k, device=device).expand(b, k))

    def grow(self, logits: Tensor, allowed: Tensor | None = None) -> "Beam":
        """Every hypothesis by every token, logits (B, k, V), and of all these the best k.

        allowed (B, k, V), where there is a rule: False at tokens that may not come.
        """
        k = self.total.size(1)
        each = min(k, logits.size(2))  # those of one hypothesis that can be among the best
        added = logits.log_softmax(-1)  # (B, k, V)
        if allowed is not None:
            added = added.masked_fill(~allowed, -math.inf)
        added, tokens = added.topk(each)  # (B, k, each)
        total, place = (self.total[..., None] + added).flatten(1).topk(k)  # (B, k) of k each
        parent, token = place // each, tokens.flatten(1).gather(1, place)  # (B, k)
        written = self.written.gather(1, parent[..., None].expand_as(self.written))
        return Beam(torch.cat([written, token[..., None]], 2), total, parent)

    def close(self, which: Tensor) -> "Beam":
        """Without the hypotheses where `which` (B, k) is True."""
        return Beam(self.written, self.total.masked_fill(which, -math.inf), self.parent)

    def select(self, rows: Tensor) -> "Beam":
        """These rows (n,) of the batch."""
        return Beam(self.written[rows], self.total[rows], self.parent[rows])


@dataclass
class Sentence:
    """What the search knows of one sentence."""

    limit: int  # tokens that a translation may have
    wanted: int  # how many translations
    alpha: float
    finished: list[Hypothesis] = field(default_factory=list)  # the best first

    def finish(self, ids: list[int], log_probability: float) -> None:
        """Note a hypothesis that ends with EOS, or because it may not be longer."""
        score = log_probability / length_penalty(len(ids), self.alpha)
        ids = ids[:-1] if ids[-1] == EOS else ids
        self.finished.append(Hypothesis(ids, log_probability, score))
        self.finished.sort(key=lambda one: -one.score)

    def is_over(self, best: float) -> bool:
        """Whether no open hypothesis can become one of those wanted.

        best: the highest log-probability of an open one, -inf where there is none.
        """
        if best == -math.inf or len(self.finished) < self.wanted:
            return best == -math.inf
        reachable = best / length_penalty(self.limit, self.alpha)
        return self.finished[self.wanted - 1].score >= reachable


class Allowed(Protocol):
    """Which tokens may come next, in k translations of each sentence under way."""

    def step(self, token: Tensor, parent: Tensor) -> Tensor:
        """The last tokens and whom they continue, (B, k) as in `Decoding` -> bool (B, k, V)"""

    def select(self, rows: Tensor) -> None:
        """Go on with these rows (n,) of the batch only."""


Rule = Callable[[Tensor, Tensor, int], Allowed]  # of source (B, S), its limits (B,), and k


class Search:
    """A beam search over a batch of sentences: call `step` until none is open."""

    @torch.inference_mode()
    def __init__(
        self,
        model: Transformer,
        source: Tensor,
        config: SearchConfig,
        n_best: int = 1,
        rule: Rule | None = None,
    ):
        """source (B, S) of ids; the `n_best` best translations of each are wanted."""
        if not 1 <= n_best <= config.beam:
            raise ValueError(f"a beam of {config.beam} cannot find {n_best} translations")
        self.limit = limits(source, config.extra)  # (B,)
        self.sentences = [Sentence(n, n_best, config.alpha) for n in self.limit.tolist()]
        self.open = self.sentences  # those that have a row in the tensors
        self.decoding = decoding_of(model.eval(), source, config.beam, config.extra)
        self.beam = Beam.start(source.size(0), config.beam, source.device)
        self.slot = torch.arange(config.beam, device=source.device)  # (k,)
        self.allowed = rule(source, self.limit, config.beam) if rule else None

    @torch.inference_mode()
    def step(self) -> None:
        """Continue every hypothesis by a token and keep the best of each sentence."""
        last = self.beam.written[..., -1], self.beam.parent  # (B, k) both
        logits = self.decoding.step(*last)  # (B, k, V)
        allowed = self.allowed.step(*last) if self.allowed else None
        finished = torch.tensor([len(one.finished) for one in self.open])  # (B,)
        slots = len(self.slot) - finished.to(self.slot.device)
        self.beam = self.beam.grow(logits, allowed).close(self.slot >= slots[:, None])
        self.take_out()
        best = zip(self.open, self.beam.total.amax(1).tolist(), strict=True)
        rows = [row for row, (one, total) in enumerate(best) if not one.is_over(total)]
        if 2 * len(rows) <= len(self.open):
            self.select(rows)

    def take_out(self) -> None:
        """Hand the hypotheses that have ended to their sentences."""
        beam = self.beam
        ended = (beam.written[..., -1] == EOS) | (beam.written.size(2) > self.limit)[:, None]
        ended &= beam.total != -math.inf  # (B, k)
        for row, slot in ended.nonzero().tolist():
            ids, total = beam.written[row, slot, 1:].tolist(), beam.total[row, slot].item()
            self.open[row].finish(ids, total)
        self.beam = beam.close(ended)

    def select(self, rows: list[int]) -> None:
        """Go on with these rows of the batch only."""
        index = torch.tensor(rows, dtype=torch.int64, device=self.slot.device)
        self.open = [self.open[row] for row in rows]
        self.limit, self.beam = self.limit[index], self.beam.select(index)
        self.decoding.select(index)
        if self.allowed:
            self.allowed.select(index)


def beam_search(
    model: Transformer,
    source: Tensor,
    config: SearchConfig | None = None,
    n_best: int = 1,
    rule: Rule | None = None,
) -> list[list[Hypothesis]]:
    """The best translations of each sentence that a beam search finds, best first (Section 6.1).

    source (B, S) of ids, each row with EOS. Stops early, but never before it is certain that
    going on would change nothing. A beam of 1 is `greedy`. With a rule no token comes that it does
    not allow; fewer are found where it allows fewer. Puts the model into evaluation mode. Raises
    ValueError where `n_best` is not from 1 to the beam.
    """
    search = Search(model, source, config or SearchConfig(), n_best, rule)
    while search.open:
        search.step()
    return [sentence.finished[:n_best] for sentence in search.sentences]


def translator(
    model: Transformer,
    tokenizer: Tokenizer,
    config: SearchConfig | None = None,
    batch_tokens: int = 4096,
    seen: Seen | None = None,
) -> Translator:
    """A model that translates lines, in parts, as `divide` makes them of what training has `seen`.

    batch_tokens bounds the padded source positions times the beam that are searched together. The
    translator raises ValueError where `extra` leaves too few learned positions.
    """
    config, seen = config or SearchConfig(), seen or Seen()
    if model.config.reach is not None:
        seen = seen.within(model.config.reach - config.extra)

    def find(encoded: list[list[int]], n_best: int) -> list[list[Hypothesis]]:
        return search_all(model, encoded, n_best, config, batch_tokens)

    return Translator(tokenizer, seen, find)


def search_all(
    model: Transformer,
    encoded: list[list[int]],
    n_best: int,
    config: SearchConfig,
    batch_tokens: int,
    rule: Rule | None = None,
) -> list[list[Hypothesis]]:
    """`beam_search` for each of many sentences, in order; those of like length go together."""
    device = next(model.parameters()).device
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
    found: list[list[Hypothesis]] = [[] for _ in encoded]
    while order:
        longest = len(encoded[order[-1]]) + 1  # the longest is last
        count = max(1, batch_tokens // (config.beam * longest))
        group, order = order[-count:], order[:-count]
        source = pad_sequences([[*encoded[i], EOS] for i in group]).to(device)  # (B, S)
        every = beam_search(model, source, config, n_best, rule)
        for i, hypotheses in zip(group, every, strict=True):
            found[i] = hypotheses
    return found


def translate(
    model: Transformer,
    tokenizer: Tokenizer,
    sentences: Sequence[str],
    config: SearchConfig | None = None,
    batch_tokens: int = 4096,
    seen: Seen | None = None,
) -> list[str]:
    """The best translation of each line, in order: see `translator`."""
    return translator(model, tokenizer, config, batch_tokens, seen).translate(sentences)
