"""The exercises of Sections 4 and 6.3: masks, recurrences, states, what heads look at, trees."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from annotated.exercises.checker import Exercise, predicted


def hub(n: int, r: int, sees: bool = True, is_seen: bool = True) -> Tensor:
    """(n, n) boolean: a band of r, and the first position sees all and is seen by all."""
    places = torch.arange(n)
    mask = (places[:, None] - places).abs() <= r // 2
    mask[0] |= sees
    mask[:, 0] |= is_seen
    return mask


def scan(f: Tensor, g: Tensor, rounds: int | None = None, f_first: bool = False) -> Tensor:
    """All c_t = f_t c_(t-1) + g_t from c = 0, (B, n, d) each: a round joins two steps into one.

    f_first: the mistake of joining g by the f of the next round.
    """
    rounds = math.ceil(math.log2(f.size(1))) if rounds is None else rounds
    for back in (2**i for i in range(rounds)):
        past_f, past_g = (F.pad(x[:, :-back], (0, 0, back, 0)) for x in (f, g))
        f, kept = f * past_f, f
        g = (f if f_first else kept) * past_g + g
    return g


def divided(f: Tensor, g: Tensor) -> Tensor:
    """The mistake of dividing by what has faded."""
    return f.cumprod(1) * (g / f.cumprod(1)).cumsum(1)


def waiting(function: Callable[..., Any], n: int = 128) -> str:
    """What to say of a scan with n operations in a row, by autograd's record."""
    f, g = (torch.full((1, n, 1), 0.5, requires_grad=True) * 1 for _ in range(2))
    depth: dict[Any, int] = {}
    todo = [function(f, g).grad_fn]
    while todo:
        if (node := todo[-1]) in depth or node is None:
            todo.pop()
            continue
        before = [each for each, _ in node.next_functions if each is not None]
        if waits := [each for each in before if each not in depth]:
            todo += waits
        else:
            depth[todo.pop()] = 1 + max((depth[each] for each in before), default=0)
    if max(depth.values(), default=0) < n:
        return ""
    return "they wait for each other, word by word: join steps, in about log2 n rounds."


def additive(q: Tensor, k: Tensor, W: Tensor, U: Tensor, v: Tensor) -> Tensor:
    """The weights (S,) of additive attention: q (D,), k (S, D), W and U (D, D), v (D,)."""
    return ((W @ q + k @ U.T).tanh() @ v).softmax(0)


def additive_inputs() -> list[tuple[Tensor, ...]]:
    """Queries, keys and maps of two widths."""
    shapes = [(4, 3), (2, 6)]  # S, D
    return [
        tuple(torch.randn(size) for size in ((d,), (s, d), (d, d), (d, d), (d,))) for s, d in shapes
    ]


def follow(state: Tensor, parent: Tensor) -> Tensor:
    """The states of the parents: state (B, k, D), parent (B, k)."""
    return state.gather(1, parent[..., None].expand_as(state))


def overwritten(state: Tensor, parent: Tensor) -> Tensor:
    """The mistake of moving states into the tensor that they come from, one after the other."""
    state = state.clone()
    for states, parents in zip(state, parent, strict=True):
        for i, j in enumerate(parents):
            states[i] = states[j]
    return state


def reach(weights: Tensor) -> Tensor:
    """How many places away each head looks, by its weights: (H, S, S) -> (H,)"""
    places = torch.arange(weights.size(-1))
    return (weights * (places[:, None] - places).abs()).sum(-1).mean(-1)


def signed_reach(weights: Tensor) -> Tensor:
    """The mistake of letting a place before cancel one after."""
    places = torch.arange(weights.size(-1))
    return (weights * (places[:, None] - places)).sum(-1).mean(-1)


def mean_first(weights: Tensor) -> Tensor:
    """The mistake of taking the distance last."""
    places = torch.arange(weights.size(-1))
    return (weights @ places.to(weights) - places).abs().mean(-1)


def peak_reach(weights: Tensor) -> Tensor:
    """The mistake of counting only the largest weight of a row."""
    return reach(F.one_hot(weights.argmax(-1), weights.size(-1)).to(weights))


def spread(weights: Tensor) -> Tensor:
    """The tokens that each head spreads over, the mean of its rows: (H, T, S) -> (H,)"""
    return entropies(weights).exp().mean(-1)


def entropies(weights: Tensor) -> Tensor:
    """Of each row, in nats: (H, T, S) -> (H, T)"""
    return -torch.xlogy(weights, weights).sum(-1)


def causal_rows(heads: int, length: int) -> Tensor:
    """Random weights (H, S, S) of rows that do not look ahead, and so have zeros."""
    scores = torch.randn(heads, length, length)
    return scores.masked_fill(torch.ones(length, length).triu(1).bool(), -torch.inf).softmax(-1)


def largest(weights: Tensor) -> Tensor:
    """True at each row's largest: (T, S) -> (T, S)"""
    return F.one_hot(weights.argmax(-1), weights.size(-1)).bool()


def mutual(there: Tensor, back: Tensor) -> Tensor:
    """The links that both directions have: weights (T, S) and (S, T) -> (T, S)"""
    return largest(there) & largest(back).T


def best_offset(rule: Tensor) -> int:
    """The distance that most links (from, to) of a matrix (n, n) have, to minus from."""
    n = len(rule)
    return max(range(1 - n, n), key=lambda apart: int(rule.diagonal(apart).sum()))


def rules() -> list[tuple[Tensor]]:
    """Links of ten words, more than half of them at one distance."""
    found = []
    for apart in (1, -3, 2):
        rule = torch.zeros(10, 10, dtype=torch.bool)
        rule.diagonal(apart)[::2] = True
        rule.diagonal(-apart)[:2] = True
        found.append((rule,))
    return found


def ahead(before: Tensor, after: Tensor, picks: Tensor) -> Tensor:
    """The share of draws, picks (m, n), in which `after` (n,) has more than `before` (n,): ()"""
    return (after[picks].sum(1) > before[picks].sum(1)).double().mean()


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """How far two distributions (..., S) are apart, in nats: (...)"""
    m = (p + q) / 2
    return (divergence(p, m) + divergence(q, m)) / 2


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """Of Kullback and Leibler, where q is zero nowhere that p is not: (..., S) -> (...)"""
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(-1)


Bracket = tuple[str, int, int]
Sentences = Sequence[tuple[list[Bracket], list[Bracket]]]  # gold and found of each


def corpus_f1(sentences: Sentences) -> float:
    """F1 of all sentences together, from 0 to 1"""
    matched = sum((Counter(gold) & Counter(found)).total() for gold, found in sentences)
    return 2 * matched / sum(len(gold) + len(found) for gold, found in sentences)


def distinct_f1(sentences: Sentences) -> float:
    """The mistake of counting a bracket once, however often it is there."""
    return corpus_f1([(sorted({*gold}), sorted({*found})) for gold, found in sentences])


def generous_f1(sentences: Sentences) -> float:
    """The mistake of counting each found bracket that gold has, though gold has it once."""
    matched = sum(bracket in gold for gold, found in sentences for bracket in found)
    return 2 * matched / sum(len(gold) + len(found) for gold, found in sentences)


def middle_f1(sentences: Sentences) -> float:
    """The mistake of the arithmetic mean of precision and recall."""
    matched = sum((Counter(gold) & Counter(found)).total() for gold, found in sentences)
    sizes = [sum(map(len, side)) for side in zip(*sentences, strict=True)]
    return statistics.mean(matched / size for size in sizes)


def bracketed(sentences: int, longest: int) -> Sentences:
    """Random brackets, some of them twice and some of them in common."""

    def some(n: int) -> list[Bracket]:
        labels, starts = torch.randint(2, (n,)).tolist(), torch.randint(3, (n,)).tolist()
        return [("NS"[a], b, b + 2) for a, b in zip(labels, starts, strict=True)]

    pairs = []
    for _ in range(sentences):
        n, m, shared = (torch.randint(1, longest + 1, ()).item() for _ in range(3))
        both = some(int(shared))
        pairs.append((both + some(int(n)), both + some(int(m))))
    return pairs


Labels = list[list[str]]  # of each word, those that it may have
Rules = dict[tuple[str, str], list[str]]


def number_of_trees(
    words: Labels, rules: Rules, add: bool = False, once: bool = False, root: str | None = "S"
) -> int:
    """How many trees with S at the root; the other arguments are mistakes."""
    chart = {(i, i + 1): Counter(tags) for i, tags in enumerate(words)}
    for width in range(2, len(words) + 1):
        for i in range(len(words) - width + 1):
            cell: Counter[str] = Counter()
            for k in range(i + 1, i + width):
                for left, a in chart[i, k].items():
                    for right, b in chart[k, i + width].items():
                        for label in rules.get((left, right), []):
                            cell[label] = 1 if once else cell[label] + (a + b if add else a * b)
            chart[i, i + width] = cell
    whole = chart[0, len(words)]
    return whole[root] if root else whole.total()


ATTACHED: Rules = {
    ("NP", "VP"): ["S"],
    ("V", "NP"): ["VP"],
    ("VP", "PP"): ["VP"],
    ("NP", "PP"): ["NP", "S"],
    ("P", "NP"): ["PP"],
}


def attached() -> list[tuple[Labels, Rules]]:
    """Clauses with more and more prepositional phrases, and words with two tags."""
    clause = [["NP"], ["V"], ["NP"]]
    return [(clause + [["P"], ["NP"]] * n, ATTACHED) for n in range(5)] + [
        ([["NP", "V"], ["V", "NP"], ["NP", "P"], ["P", "V"], ["NP"]], ATTACHED),
        ([["NP"], ["P"], ["NP"]], ATTACHED),
    ]


def in_order(symbols: list[str], after: str = "child") -> list[str]:
    """A tree's symbols with each opening bracket behind its first part.

    after: "child"; or as a mistake "word", the first in it, or "all", as its closing bracket.
    """
    written: list[str] = []
    waiting: list[str] = []  # of each open bracket the name, or "" once it is written
    for symbol in symbols:
        if symbol[0] == "(":
            waiting.append(symbol)
            continue
        if symbol[0] == ")" and (late := waiting.pop()):
            written.append(late)
        written.append(symbol)
        if after == "word":
            written += filter(None, reversed(waiting))
            waiting = [""] * len(waiting)
        elif after == "child" and waiting:
            written += filter(None, waiting[-1:])
            waiting[-1] = ""
    return written


def may_come(
    prefix: list[str], words: int, early: bool = False, empty: bool = False, more: bool = False
) -> list[str]:
    """What may come next in a tree, sorted: "(", "tag", a closing bracket by its name, "end".

    early, empty and more are mistakes: the root closes while words are left, nothing is in a
    bracket, and brackets open when no word is left.
    """
    waiting: list[str] = []
    for symbol in prefix:
        if symbol[0] == "(":
            waiting.append(symbol[1:])
        elif symbol[0] == ")":
            waiting.pop()
    if prefix and not waiting:
        return ["end"]
    left = words - sum(symbol[0] not in "()" for symbol in prefix)
    found = {"("} if left or more else set()
    if prefix:
        found |= {"tag"} if left else set()
        if (empty or prefix[-1][0] != "(") and (early or len(waiting) > 1 or not left):
            found.add(f"){waiting[-1]}")
    return sorted(found)


CLAUSE = "(S (NP (NP DT NN )NP (PP IN (NP NN )NP )PP )NP (VP VBZ )VP . )S".split()


EXERCISES = {
    "why-1": predicted(
        256,
        {
            "That is where the orders n² d and n d² meet; count the constants.": 512,
            "That is where self-attention overtakes the LSTM.": 1024,
            "Do not leave the four projections out.": 1280,
        },
    ),
    "why-2": Exercise(
        lambda n, r: hub(n, r),
        lambda: [(5, 3), (9, 5), (8, 1)],
        {
            "The hub sees all, but must also be seen: its column.": (
                lambda n, r: hub(n, r, is_seen=False)
            ),
            "The hub is seen, but must also see all: its row.": lambda n, r: hub(n, r, sees=False),
            "The band stays: words still see their neighbors.": lambda n, r: hub(n, 1),
            "The band reaches r // 2 places to either side, not r.": lambda n, r: hub(n, 2 * r),
            "That is the band alone: the first position is the hub.": (
                lambda n, r: hub(n, r, sees=False, is_seen=False)
            ),
            "Upside down: True is where attention may look.": lambda n, r: ~hub(n, r),
        },
    ),
    "why-3": Exercise(
        lambda f, g: scan(f, g),
        lambda: [
            *((torch.rand(2, n, 3), torch.randn(2, n, 3)) for n in (8, 11, 1)),
            (torch.randint(2, (2, 6, 3)).float(), torch.randn(2, 6, 3)),
        ],
        {
            "What was written earlier is kept by f only in part.": lambda f, g: g.cumsum(1),
            "One round joins two steps: go on, twice as far each time.": (
                lambda f, g: scan(f, g, rounds=1)
            ),
            "The rounds are log2 n rounded up: n need not be a power of two.": (
                lambda f, g: scan(f, g, rounds=int(math.log2(f.size(1))))
            ),
            "Join g by the f of before this round.": lambda f, g: scan(f, g, f_first=True),
            "f and g have changed places.": lambda f, g: scan(g, f),
            "An f of 0 makes the product 0, and dividing by that makes nan.": divided,
            "The state decays with each word: multiply by f in every step.": lambda f, g: f * g,
        },
        objection=waiting,
    ),
    "replaced-1": predicted(
        128,
        {
            "That is what attention could look at.": 50 * 128,
            "Those are the states that it begins with; from how many numbers are they made?": 512,
            "Both directions have a last state.": 64,
        },
    ),
    "replaced-2": Exercise(
        additive,
        additive_inputs,
        {
            "The sum of both is bent by a tanh before v weighs it.": (
                lambda q, k, W, U, v: ((W @ q + k @ U.T) @ v).softmax(0)
            ),
            "Scores become weights by a softmax over the words.": (
                lambda q, k, W, U, v: (W @ q + k @ U.T).tanh() @ v
            ),
            "A linear map multiplies from the left: k_s becomes U k_s.": (
                lambda q, k, W, U, v: ((W @ q + k @ U).tanh() @ v).softmax(0)
            ),
            "Bend the sum of both: q by itself adds the same to all scores.": (
                lambda q, k, W, U, v: ((k @ U.T).tanh() @ v).softmax(0)
            ),
            "That is a product of both, as in equation 1; here they are added.": (
                lambda q, k, W, U, v: (k @ U.T @ (W @ q)).softmax(0)
            ),
            "v is missing: it weighs what comes out of the tanh.": (
                lambda q, k, W, U, v: (W @ q + k @ U.T).tanh().sum(1).softmax(0)
            ),
        },
    ),
    "replaced-3": Exercise(
        follow,
        lambda: [
            (torch.randn(2, 3, 4), torch.tensor([[0, 0, 2], [2, 1, 1]])),
            (torch.randn(3, 2, 2), torch.tensor([[1, 0], [1, 1], [0, 0]])),
        ],
        {
            "The states have not moved.": lambda state, parent: state,
            "Each sentence of the batch has parents of its own.": (
                lambda state, parent: state[:, parent[0]]
            ),
            "Each sentence of the batch has states of its own.": (
                lambda state, parent: state[0][parent]
            ),
            "A state goes to its parent's place; it should come from there.": (
                lambda state, parent: torch.zeros_like(state).scatter(
                    1, parent[..., None].expand_as(state), state
                )
            ),
            "A state was overwritten before all its children had it.": overwritten,
        },
    ),
    "heads-2": Exercise(
        reach,
        lambda: [(torch.randn(2, n, n).softmax(-1),) for n in (5, 8)] + [(causal_rows(3, 6),)],
        {
            "A place before and one after must not cancel: take absolute distances.": signed_reach,
            "All weights count, not only the largest of a row.": peak_reach,
            "Average over the positions: do not add them up.": (
                lambda weights: reach(weights) * weights.size(-1)
            ),
            "The weights of a row sum to one: add their products up, do not average them.": (
                lambda weights: reach(weights) / weights.size(-1)
            ),
            "Take the distance of each place, not that of the place on average.": mean_first,
        },
    ),
    "heads-3": Exercise(
        spread,
        lambda: [(torch.randn(2, 4, 7).softmax(-1),), (causal_rows(3, 5),)],
        {
            "0 ln 0 is nan by a product: take it for 0 (torch.xlogy).": (
                lambda weights: (-(weights * weights.log()).sum(-1)).exp().mean(-1)
            ),
            "A row's entropy is a sum over S: you took the mean.": (
                lambda weights: (entropies(weights) / weights.size(-1)).exp().mean(-1)
            ),
            "A row is what one position looks at: sum over the last dimension.": (
                lambda weights: entropies(weights.mT).exp().mean(-1)
            ),
            "The entropy is in nats: e to its power counts, not 2.": (
                lambda weights: (2 ** entropies(weights)).mean(-1)
            ),
            "With log2, 2 to the entropy's power counts, not e.": (
                lambda weights: (entropies(weights) / math.log(2)).exp().mean(-1)
            ),
            "That is the entropy: its exponential counts tokens.": (
                lambda weights: entropies(weights).mean(-1)
            ),
            "Count for each row, then average: exp comes before the mean.": (
                lambda weights: entropies(weights).mean(-1).exp()
            ),
        },
    ),
    "roles-1": predicted(
        0.8,
        {
            "That is the share of right links; the rate is one minus twice them over all.": 0.2,
            "A target word draws among the source words, and there are five.": 0.75,
            "Each link that is found counts below, and each gold one: four and four.": 0.9,
        },
    ),
    "roles-2": Exercise(
        mutual,
        lambda: [(torch.rand(t, s), torch.rand(s, t)) for t, s in ((3, 4), (5, 5), (6, 2))],
        {
            "Keep what both have; that is what either has.": (
                lambda there, back: largest(there) | largest(back).T
            ),
            "A product of weights is no vote: take each direction's links first.": (
                lambda there, back: largest(there * back.T)
            ),
            "Each source word votes too: its largest is along the rows of `back`.": (
                lambda there, back: largest(there) & largest(back.T)
            ),
        },
    ),
    "roles-3": Exercise(
        best_offset,
        rules,
        {
            "The sign: a word further on is at a positive distance.": (
                lambda rule: -best_offset(rule)
            ),
            "The mean of distances is at none of the words: take the most frequent.": (
                lambda rule: round(
                    (rule.nonzero()[:, 1] - rule.nonzero()[:, 0]).float().mean().item()
                )
            ),
        },
    ),
    "without-2": Exercise(
        ahead,
        lambda: [
            *(
                (torch.randint(4, (n,)), torch.randint(4, (n,)), torch.randint(n, (m, n)))
                for n, m in ((6, 40), (8, 25))
            ),
            (torch.tensor([1, 0, 5]), torch.tensor([0, 1, 4]), torch.randint(3, (20, 3))),
        ],
        {
            "A tie is not ahead.": (
                lambda before, after, picks: (
                    (after[picks].sum(1) >= before[picks].sum(1)).double().mean()
                )
            ),
            "Add up each draw, and compare the sums: not sentence by sentence.": (
                lambda before, after, picks: (after[picks] > before[picks]).double().mean()
            ),
            "Paired: both are scored on the same draw.": (
                lambda before, after, picks: (
                    (after[picks].sum(1) > before[picks.roll(1, 0)].sum(1)).double().mean()
                )
            ),
            "A draw is a row of picks.": (
                lambda before, after, picks: (
                    (after[picks].sum(0) > before[picks].sum(0)).double().mean()
                )
            ),
            "That is how often `before` is ahead.": (
                lambda before, after, picks: ahead(after, before, picks)
            ),
        },
    ),
    "without-3": Exercise(
        jensen_shannon,
        lambda: [
            (torch.randn(2, 4, 5).softmax(-1), torch.randn(2, 4, 5).softmax(-1)),
            (causal_rows(2, 4), causal_rows(2, 4)),
            (torch.eye(3), torch.eye(3).roll(1, 1)),
        ],
        {
            "Compare each with the middle of both, not with the other.": (
                lambda p, q: (divergence(p, q) + divergence(q, p)) / 2
            ),
            "Take the mean of both divergences, not their sum.": (
                lambda p, q: 2 * jensen_shannon(p, q)
            ),
            "In nats: the natural logarithm.": lambda p, q: jensen_shannon(p, q) / math.log(2),
            "A weight of zero adds nothing: 0 ln 0 is nan by a product (torch.xlogy).": (
                lambda p, q: (
                    ((p * (2 * p / (p + q)).log()).sum(-1) + (q * (2 * q / (p + q)).log()).sum(-1))
                    / 2
                )
            ),
        },
    ),
    "trees-1": predicted(
        92.3,
        {
            "That is recall alone; what was found is all in gold, so precision is 1.": 85.7,
            "That is precision alone, and a bracket is missing.": 100.0,
            "The brackets of tags do not count.": 96.6,
            "S counts: only a root named TOP, or without a name, does not.": 90.9,
        },
    ),
    "trees-2": Exercise(
        corpus_f1,
        lambda: [(bracketed(1, 4),), (bracketed(3, 4),), (bracketed(6, 9),)],
        {
            "Add up matches and brackets over all sentences, then divide: no mean of F1s.": (
                lambda sentences: statistics.mean(corpus_f1([each]) for each in sentences)
            ),
            "A bracket that is there twice counts twice: no sets.": distinct_f1,
            "Gold's bracket is used up by the first that matches it.": generous_f1,
            "Precision and recall have a harmonic mean.": middle_f1,
            "The label has to be right, too.": lambda sentences: corpus_f1(
                [tuple([("", *each[1:]) for each in side] for side in pair) for pair in sentences]  # type: ignore
            ),
        },
    ),
    "trees-3": Exercise(
        number_of_trees,
        attached,
        {
            "Each way of the left part goes with each of the right: multiply.": (
                lambda words, rules: number_of_trees(words, rules, add=True)
            ),
            "A label that can be made in several ways has several trees: add them up.": (
                lambda words, rules: number_of_trees(words, rules, once=True)
            ),
            "Only trees with S at the root count.": (
                lambda words, rules: number_of_trees(words, rules, root=None)
            ),
        },
    ),
    "parsing-1": predicted(
        20,
        {
            "Each constituent has two brackets.": 14,
            "A word has its tag in the sequence, beside the brackets.": 13,
            "EOS is predicted, too.": 19,
        },
    ),
    "parsing-2": Exercise(
        in_order,
        lambda: [
            ("(S (NP DT NN )NP (VP VBZ )VP )S".split(),),
            (CLAUSE,),
            ("(S (VP (VP VB )VP )VP . )S".split(),),
        ],
        {
            "An opening bracket waits for its whole first part, not for its first word.": (
                lambda symbols: in_order(symbols, after="word")
            ),
            "Behind all parts is post-order: the opening bracket comes behind the first one.": (
                lambda symbols: in_order(symbols, after="all")
            ),
            "That is the order in which they came.": lambda symbols: symbols,
        },
    ),
    "parsing-3": Exercise(
        may_come,
        lambda: (
            [(CLAUSE[:n], 6) for n in range(len(CLAUSE) + 1)]
            + [(["(NP", "NN", "NN"], 2), (["(S", "(NP", "NN"], 1)]
        ),
        {
            "The root stays open while words are left.": (
                lambda prefix, words: may_come(prefix, words, early=True)
            ),
            "A constituent has at least one word.": (
                lambda prefix, words: may_come(prefix, words, empty=True)
            ),
            "A bracket that opens needs a word that is left.": (
                lambda prefix, words: may_come(prefix, words, more=True)
            ),
        },
    ),
}
