# Tangled from chapters/6-1-translation.md: change it there, then run `make tangle`.
"""Greedy decoding and beam search, with keys and values kept from token to token (Section 6.1)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from annotated.batching import pad
from annotated.tokenizer import BOS, EOS, PAD, Tokenizer
from annotated.transformer import DecoderLayer, Transformer


@dataclass
class LayerCache:
    """The keys and values that one decoder layer has computed so far."""

    memory: tuple[Tensor, Tensor]  # of the source: (B, H, S, K), (B, H, S, K')
    room: int  # how many entries will be written, at most
    past: tuple[Tensor, ...] = ()  # of what is written: (B, H, room, K), (B, H, room, K')
    length: int = 0  # entries written

    def extend(self, *new: Tensor) -> list[Tensor]:
        """Write the newest keys (B, H, k, K) and values (B, H, k, K'); returns all so far."""
        if not self.past:
            self.past = tuple(x.new_empty(*x.shape[:2], self.room, x.size(3)) for x in new)
        start, self.length = self.length, self.length + new[0].size(2)
        for kept, x in zip(self.past, new, strict=True):
            kept[:, :, start : self.length] = x
        return [kept[:, :, : self.length] for kept in self.past]  # (B, H, length, K or K')

    def select(self, rows: Tensor) -> None:
        """Keep these rows (n,) of the batch, in ascending order."""
        self.memory = tuple(x[rows] for x in self.memory)
        for kept in self.past:  # in place: the memory was taken once
            kept[: len(rows), :, : self.length] = kept[rows, :, : self.length]
        self.past = tuple(kept[: len(rows)] for kept in self.past)


def layer_step(
    layer: DecoderLayer, x: Tensor, cache: LayerCache, seen: Tensor | None, memory_mask: Tensor
) -> Tensor:
    """The newest positions x (B, k, D) through one decoder layer -> (B, k, D).

    seen (B, 1, k, length) says which entries of the cache each of the k looks back at; None: all.
    """

    def look_back(x: Tensor) -> Tensor:
        key, value = cache.extend(*layer.self_attention.keys_values(x))
        return layer.self_attention.attend(x, key, value, seen)

    def look_across(x: Tensor) -> Tensor:
        return layer.cross_attention.attend(x, *cache.memory, memory_mask)

    return layer.connect(x, look_back, look_across)


class Decoding:
    """k translations of each sentence under way: tokens in, the logits of the next ones out."""

    def __init__(self, model: Transformer, source: Tensor, k: int = 1, extra: int = 50):
        """source (B, S) of ids is encoded here, once; there is room for S + extra tokens."""
        self.model = model
        self.layers: list[Any] = list(model.decoder.layers)  # of DecoderLayer
        memory, self.memory_mask = model.encode(source)  # (B, S, D), (B, 1, 1, S)
        room = k * (source.size(1) + extra)
        self.caches = [
            LayerCache(layer.cross_attention.keys_values(memory), room) for layer in self.layers
        ]
        self.own = torch.eye(k, dtype=torch.bool, device=source.device)
        self.seen = self.own.new_empty(source.size(0), k, 0)  # (B, k, k length)
        self.length = 0  # positions written so far

    def step(self, token: Tensor, parent: Tensor | None = None) -> Tensor:
        """token (B, k) of ids, the last ones written -> logits of the next ones (B, k, V).

        parent (B, k) says which of the k translations of the step before each one continues; None:
        each continues itself.
        """
        b, k = token.shape
        if parent is not None:  # a hypothesis consists of what its parent consists of ...
            self.seen = self.seen.gather(1, parent[..., None].expand_as(self.seen))
        self.seen = torch.cat([self.seen, self.own.expand(b, k, k)], 2)  # ... and its own entry
        seen = self.seen[:, None] if k > 1 else None  # (B, 1, k, k length)
        x = self.model.embed(token.reshape(b * k, 1), start=self.length).view(b, k, -1)  # (B, k, D)
        for layer, cache in zip(self.layers, self.caches, strict=True):
            x = layer_step(layer, x, cache, seen, self.memory_mask)
        self.length += 1
        return self.model.embedding.logits(self.model.decoder.norm(x))  # (B, k, V)

    def select(self, rows: Tensor) -> None:
        """Go on with these rows (n,) of the batch only, in ascending order."""
        self.memory_mask, self.seen = self.memory_mask[rows], self.seen[rows]
        for cache in self.caches:
            cache.select(rows)


def limits(source: Tensor, extra: int) -> Tensor:
    """The most tokens that a translation may have: its source's and `extra` more; (B, S) -> (B,)"""
    return (source != PAD).sum(1) + extra


@torch.no_grad()
def greedy(model: Transformer, source: Tensor, extra: int = 50) -> Tensor:
    """The most probable token, again and again, until each sentence has ended.

    source (B, S) of ids -> (B, T) of ids, without BOS; EOS where a sentence ended by itself, PAD
    after it. A sentence has at most its source's length + `extra` tokens. Puts the model into
    evaluation mode.
    """
    model.eval()
    decoding = Decoding(model, source, extra=extra)
    limit = limits(source, extra)  # (B,)
    token = torch.full_like(limit, BOS)
    ended = torch.zeros_like(limit, dtype=torch.bool)
    written: list[Tensor] = []
    while not ended.all():
        logits = decoding.step(token[:, None])[:, 0]  # (B, V)
        token = logits.argmax(-1).masked_fill(ended, PAD)  # (B,)
        written.append(token)
        ended = ended | (token == EOS) | (len(written) >= limit)
    return torch.stack(written, 1)  # (B, T)


@dataclass(frozen=True)
class SearchConfig:
    """How to search for a translation; the defaults are the paper's (Section 6.1)."""

    beam: int = 4  # hypotheses at a time
    alpha: float = 0.6  # of the length penalty
    extra: int = 50  # tokens that a translation may have beyond its source

    def __post_init__(self) -> None:
        for name, least in ("beam", 1), ("alpha", 0), ("extra", 0):
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")


@dataclass(frozen=True)
class Hypothesis:
    """A finished translation."""

    ids: list[int]  # without BOS and EOS
    log_probability: float  # of its ids and EOS, in nats
    score: float  # log_probability / length_penalty


def length_penalty(length: int, alpha: float) -> float:
    """((5 + length) / 6)^alpha, what a log-probability is divided by (Wu et al. 2016, eq. 14)."""
    return ((5 + length) / 6) ** alpha


@dataclass
class Sentence:
    """What the search knows of one sentence of the batch."""

    limit: int  # tokens that a translation may have
    wanted: int  # how many translations
    finished: list[Hypothesis] = field(default_factory=list)  # best first

    def finish(self, ids: list[int], log_probability: float, alpha: float) -> None:
        """Note a hypothesis that has ended; ids include EOS, if that is how."""
        score = log_probability / length_penalty(len(ids), alpha)
        if ids[-1] == EOS:
            ids = ids[:-1]
        self.finished.append(Hypothesis(ids, log_probability, score))
        self.finished.sort(key=lambda one: -one.score)

    def is_over(self, best: float, alpha: float) -> bool:
        """Whether no hypothesis that is still open can come to be one of those wanted.

        best: the highest log-probability of those, -inf where there are none. What is added to it
        is never positive, and nothing is divided by more than the penalty of the longest.
        """
        if best == -math.inf:
            return True
        if len(self.finished) < self.wanted:
            return False
        return self.finished[self.wanted - 1].score >= best / length_penalty(self.limit, alpha)


class Search:
    """A beam search over a batch of sentences: call `step` until none is open."""

    @torch.no_grad()
    def __init__(self, model: Transformer, source: Tensor, config: SearchConfig, n_best: int = 1):
        """source (B, S) of ids; the `n_best` best translations of each are wanted."""
        if not 1 <= n_best <= config.beam:
            raise ValueError(f"a beam of {config.beam} finds 1 to {config.beam}, not {n_best}")
        model.eval()
        b, k, device = source.size(0), config.beam, source.device
        self.alpha = config.alpha
        self.limit = limits(source, config.extra)  # (B,)
        self.sentences = [Sentence(limit, n_best) for limit in self.limit.tolist()]
        self.open = self.sentences  # those that have a row in the tensors
        self.decoding = Decoding(model, source, k, config.extra)
        self.slot = torch.arange(k, device=device)  # (k,)
        self.slots = torch.full((b,), k, device=device)  # (B,): k less those that have finished
        self.parent = self.slot.expand(b, k)  # which hypothesis each one continues
        self.written = torch.full((b, k, 1), BOS, device=device)  # (B, k, 1 + steps)
        self.total = torch.full((b, k), -math.inf, device=device)  # log-probabilities
        self.total[:, 0] = 0.0  # at first there is one hypothesis: nothing written

    @torch.no_grad()
    def step(self) -> None:
        """Continue every hypothesis by every token, and keep the best of each sentence."""
        logits = self.decoding.step(self.written[..., -1], self.parent)  # (B, k, V)
        total = self.total[..., None] + logits.log_softmax(-1)
        best, place = total.flatten(1).topk(len(self.slot))  # (B, k), best first
        self.total = best.masked_fill(self.slot >= self.slots[:, None], -math.inf)
        self.parent, token = place // total.size(2), place % total.size(2)
        parents = self.parent[..., None].expand_as(self.written)
        self.written = torch.cat([self.written.gather(1, parents), token[..., None]], 2)
        self.finish()

    def finish(self) -> None:
        """Take out the hypotheses that have ended, and sentences where nothing can change."""
        full = self.written.size(2) > self.limit  # (B,)
        ended = ((self.written[..., -1] == EOS) | full[:, None]) & self.total.isfinite()  # (B, k)
        for row, slot in ended.nonzero().tolist():
            ids, total = self.written[row, slot, 1:].tolist(), self.total[row, slot].item()
            self.open[row].finish(ids, total, self.alpha)
            self.slots[row] -= 1
        self.total = self.total.masked_fill(ended, -math.inf)
        best = zip(self.open, self.total.amax(1).tolist(), strict=True)
        rows = [i for i, (one, total) in enumerate(best) if not one.is_over(total, self.alpha)]
        if 2 * len(rows) <= len(self.open):  # else it would not pay to move what is kept
            self.select(rows)

    def select(self, rows: list[int]) -> None:
        """Go on with these rows of the tensors only."""
        self.open = [self.open[row] for row in rows]
        index = torch.tensor(rows, dtype=torch.int64, device=self.slot.device)
        for name in ("limit", "slots", "parent", "written", "total"):
            setattr(self, name, getattr(self, name)[index])
        self.decoding.select(index)


def beam_search(
    model: Transformer, source: Tensor, config: SearchConfig | None = None, n_best: int = 1
) -> list[list[Hypothesis]]:
    """The best translations of each sentence that a beam search finds, best first (Section 6.1).

    source (B, S) of ids, each row with EOS. The search stops early, but not before it is certain
    that it would find nothing better. With a beam of 1 it is `greedy`. Puts the model into
    evaluation mode. Raises ValueError where `n_best` is not from 1 to the beam.
    """
    search = Search(model, source, config or SearchConfig(), n_best)
    while search.open:
        search.step()
    return [sentence.finished[:n_best] for sentence in search.sentences]


LONGEST = 256  # tokens of a sentence that are translated at once; training saw no more


def pieces(ids: list[int], longest: int, begins: Callable[[int], bool]) -> list[list[int]]:
    """A sentence in pieces of `longest` ids at most, divided where a word begins if possible."""
    parts = []
    while len(ids) > longest:
        words = (i for i in range(longest, longest // 2, -1) if begins(ids[i]))
        cut = next(words, longest)
        parts.append(ids[:cut])
        ids = ids[cut:]
    return [*parts, ids] if ids else parts


def candidates(
    model: Transformer,
    tokenizer: Tokenizer,
    sentences: Sequence[str],
    n_best: int = 1,
    config: SearchConfig | None = None,
    batch_tokens: int = 4096,
    longest: int = LONGEST,
) -> list[list[tuple[str, float]]]:
    """The n_best translations of each sentence with their scores, best first, in order.

    A blank sentence gives an empty text. One of more than `longest` tokens is translated in
    pieces. batch_tokens bounds the padded source positions times beam that are searched together.
    """
    config = config or SearchConfig()

    def begins(i: int) -> bool:
        return tokenizer.pieces([i])[0].startswith(" ")

    if model.config.positions == "learned":
        longest = min(longest, model.config.max_length - config.extra)
    encoded = [tokenizer.encode(sentence.strip()) for sentence in sentences]
    split = [pieces(ids, longest - 1, begins) for ids in encoded]  # and EOS
    flat = [[*ids, EOS] for parts in split for ids in parts]
    order = sorted(range(len(flat)), key=lambda i: len(flat[i]))
    device = next(model.parameters()).device
    found: dict[int, list[Hypothesis]] = {}
    while order:
        count = max(1, batch_tokens // (config.beam * len(flat[order[-1]])))  # the longest is last
        group, order = order[-count:], order[:-count]
        source = pad([flat[i] for i in group]).to(device)
        found |= zip(group, beam_search(model, source, config, n_best), strict=True)
    numbers = iter(range(len(flat)))
    return [joined(tokenizer, [found[next(numbers)] for _ in parts]) for parts in split]


def joined(tokenizer: Tokenizer, parts: list[list[Hypothesis]]) -> list[tuple[str, float]]:
    """The translations of a sentence's pieces as those of the whole: the best, the second best ..."""
    whole = zip(*parts, strict=False) if parts else [()]
    return [
        (
            # whatever the model wrote, one line stays one line
            " ".join(" ".join(tokenizer.decode(one.ids) for one in ones).split()),
            sum(one.score for one in ones),
        )
        for ones in whole
    ]


def translate(
    model: Transformer,
    tokenizer: Tokenizer,
    sentences: Sequence[str],
    config: SearchConfig | None = None,
    batch_tokens: int = 4096,
) -> list[str]:
    """The best translation of each sentence, in order; see `candidates`."""
    found = candidates(model, tokenizer, sentences, 1, config, batch_tokens)
    return [best for (best, _), *_ in found]
