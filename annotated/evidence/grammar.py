# Tangled from chapters/evidence/trees.md: change it there, then run `make tangle`.
"""A grammar with probabilities, read off trees, and the best tree by CKY (Section 6.3)."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import reduce
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from annotated.evidence.trees import Tree


def right_branching(words: Sequence[str], tags: Sequence[str], root: str, label: str) -> Tree:
    """Each word beside all that follows it, in brackets of one label; a final stop at the root."""
    leaves = [Tree(tag, (word,)) for word, tag in zip(words, tags, strict=True)]
    stop = [leaves.pop()] if len(leaves) > 1 and tags[-1] == "." else []
    inner = leaves.pop()
    while len(leaves) > 1:
        inner = Tree(label, (leaves.pop(), inner))
    return Tree(root, (*leaves, inner, *stop))


class Blend:
    """How probable an outcome is in a context, each context smoothed by a more general one."""

    def __init__(self, strength: float):
        self.strength = strength  # of the general context: as if it had been seen so often
        self.counts: dict[Hashable, Counter[Any]] = defaultdict(Counter)

    def __call__(self, contexts: Sequence[Hashable]) -> dict[Any, float]:
        """Outcomes and their probabilities; contexts from the most special to the most general."""
        mixed: dict[Any, float] = {}
        for context in reversed(contexts):
            if seen := self.counts.get(context):
                weight = self.strength if mixed else 0.0
                total = seen.total() + weight
                outcomes = mixed.keys() | seen.keys()
                mixed = {x: (seen[x] + weight * mixed.get(x, 0.0)) / total for x in outcomes}
        return mixed


RARE = 2  # words seen at most so often stand for those that were never seen


class Lexicon:
    """The parts of speech that a word may have, known or not."""

    def __init__(self, trees: Iterable[Tree], strength: float):
        both = [zip(tree.leaves(), tree.tags(), strict=True) for tree in trees]
        pairs = Counter(chain.from_iterable(both))
        frequency: Counter[str] = Counter()
        for (word, _), count in pairs.items():
            frequency[word] += count
        self.blend = Blend(strength)
        for (word, tag), count in pairs.items():
            contexts = self.contexts(word)
            for context in contexts if frequency[word] <= RARE else (contexts[0], contexts[-1]):
                self.blend.counts[context][tag] += count
        self.tags = sorted(self.blend(["any"]))
        self.prior = self.vector(["any"])

    def contexts(self, word: str) -> list[Hashable]:
        """The word, its shape with its last three letters, two, one and none, and any word."""
        shape = (
            any(letter.isdigit() for letter in word),
            word[:1].isupper(),
            any(letter.isupper() for letter in word[1:]),
            not word.isalnum(),
        )
        endings = [(shape, word[-n:].lower()) for n in (3, 2, 1)]
        return [("word", word), *endings, (shape, ""), "any"]

    def vector(self, contexts: Sequence[Hashable]) -> np.ndarray:
        """(tags,) probabilities"""
        found = self.blend(contexts)
        return np.array([found.get(tag, 0.0) for tag in self.tags])

    def scores(self, word: str) -> np.ndarray:
        """(tags,) log P(tag | word) - log P(tag): what is left of log P(word | tag), by Bayes"""
        with np.errstate(divide="ignore"):
            return np.log(self.vector(self.contexts(word))) - np.log(self.prior)

    def best(self, word: str) -> str:
        """Its most probable part of speech."""
        return self.tags[int(self.vector(self.contexts(word)).argmax())]


Symbol = tuple[str, str | None]  # a label, and the label above it or ""; None: a part of speech
START, STOP = "start", "stop"


def rules(tree: Tree, parents: bool) -> Iterator[tuple[Symbol, list[Symbol]]]:
    """Each constituent and its parts; with `parents`, a label is told apart by what is above it."""
    waiting: list[tuple[Tree, str]] = [(tree, "")]
    while waiting:
        node, above = waiting.pop()
        below = node.label if parents else ""
        parts = [child for child in node.children if isinstance(child, Tree)]
        if parts:
            yield (node.label, above), [(x.label, None if x.is_tag else below) for x in parts]
            waiting += [(part, below) for part in parts]


class Grammar:
    """Probabilities of trees: a root, the parts of each constituent one by one, and the words.

    P(parts | label) is the product of P(part | label, the part before), and of P(stop | label,
    the last part): a Markov chain of order 1. Each is smoothed by P(part | label).
    """

    def __init__(
        self,
        trees: Sequence[Tree],
        parents: bool = False,
        smoothing: float = 5.0,
        word_smoothing: float = 1.0,
        often: int = 30,
    ):
        self.parents, self.steps = parents, Blend(smoothing)
        self.lexicon = Lexicon(trees, word_smoothing)
        self.roots = Counter(tree.label for tree in trees)
        seen = Counter(symbol for tree in trees for symbol, _ in rules(tree, parents))
        self.known = {symbol for symbol, count in seen.items() if count >= often}
        for tree in trees:
            for symbol, parts in self.rules(tree):
                for before, part in zip([START, *parts], [*parts, STOP], strict=True):
                    for context in self.contexts(symbol, before):
                        self.steps.counts[context][part] += 1
        self.symbols: list[Symbol] = [(tag, None) for tag in self.lexicon.tags]
        self.symbols += sorted({self.told(symbol) for symbol in seen}, key=self.order)

    def told(self, symbol: Symbol) -> Symbol:
        """The symbol, or without its parent where that is rare."""
        return symbol if symbol in self.known or symbol[1] is None else (symbol[0], "")

    def rules(self, tree: Tree) -> Iterator[tuple[Symbol, list[Symbol]]]:
        """Those of a tree, in the symbols of this grammar."""
        for symbol, parts in rules(tree, self.parents):
            yield self.told(symbol), [self.told(part) for part in parts]

    def order(self, symbol: Symbol) -> tuple[int, str, str]:
        """Those with many kinds of parts come first."""
        return -len(self.steps.counts[symbol[0]]), symbol[0], str(symbol[1])

    def contexts(self, symbol: Symbol, before: Hashable) -> list[Hashable]:
        """What the next part depends on, from the most special."""
        special: list[Hashable] = [(symbol, before)] if self.parents else []
        return [*special, (symbol[0], before), symbol[0]]

    def after(self, symbol: Symbol, before: Hashable) -> dict[Any, float]:
        """The probabilities of the next part, or of STOP; there is no constituent without parts."""
        found = self.steps(self.contexts(symbol, before))
        if before == START:
            nothing = found.pop(STOP, 0.0)
            found = {part: p / (1 - nothing) for part, p in found.items()}
        return found

    def log_probability(self, tree: Tree) -> float:
        """Of the tree and its words, but for a factor that only the words decide."""
        found = np.log(self.roots[tree.label] / self.roots.total())
        for symbol, parts in self.rules(tree):
            for before, part in zip([START, *parts], [*parts, STOP], strict=True):
                found += np.log(self.after(symbol, before).get(part, 0.0))
        for word, tag in zip(tree.leaves(), tree.tags(), strict=True):
            found += self.lexicon.scores(word)[self.lexicon.tags.index(tag)]
        return float(found)


def logs(probabilities: list) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(np.array(probabilities, dtype=np.float32))


def best_of(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """The largest of each place; faster than an axis more."""
    return reduce(lambda best, other: np.maximum(best, other, out=best), arrays)


class Parsed(NamedTuple):
    tree: Tree
    log_probability: float


class Parser:
    """The most probable tree of a sentence by CKY, all spans of a width at a time.

    V symbols, N of them constituents; P pairs of a constituent and a part that it may have.
    """

    def __init__(self, grammar: Grammar):
        self.grammar, self.tags = grammar, len(grammar.lexicon.tags)
        places = {symbol: i for i, symbol in enumerate(grammar.symbols)}
        self.pairs: list[slice] = []  # of each constituent
        child: list[int] = []
        start, stop, steps = [], [], []
        for symbol in grammar.symbols[self.tags :]:
            parts = sorted(grammar.steps.counts[symbol[0]].keys() - {STOP}, key=str)
            self.pairs.append(slice(len(child), len(child) + len(parts)))
            child += [places[part] for part in parts]
            first = grammar.after(symbol, START)
            rows = [grammar.after(symbol, part) for part in parts]
            start += [first.get(part, 0.0) for part in parts]
            stop += [row.get(STOP, 0.0) for row in rows]
            steps += [[row.get(part, 0.0) for part in parts] for row in rows]
        self.child, self.start, self.stop = np.array(child), logs(start), logs(stop)  # (P,)
        # the j-th step of each pair, as long as it has one; those with most steps come first
        pairs_of = [pairs for pairs in self.pairs for _ in range(pairs.start, pairs.stop)]
        self.steps = []  # each: (n,) the pair that is stepped to, and (n,) log-probabilities
        for j in range(max(map(len, steps))):
            some = [row[j] for row in steps if j < len(row)]
            self.steps.append((np.array([p.start + j for p in pairs_of[: len(some)]]), logs(some)))
        self.chains = self.closure()

    def closure(self) -> np.ndarray:
        """(V, N): log-probability of the best chain of single parts, to a symbol, from another."""
        n = len(self.pairs)
        best = np.full((n, self.tags + n), -np.inf, dtype=np.float32)
        for row, pairs in zip(best, self.pairs, strict=True):
            row[self.child[pairs]] = self.start[pairs] + self.stop[pairs]
        best[np.arange(n), self.tags + np.arange(n)] = 0  # no step at all
        while True:
            longer = np.stack([(best[:, self.tags :] + to).max(1) for to in best.T], 1)
            if (longer <= best).all():
                return best.T.copy()
            best = longer

    def fill(self, words: Sequence[str]) -> None:
        """The chart, by width w and first word; each array is (n - w + 1, V) or (n - w + 1, P)."""
        n, tags = len(words), self.tags
        lead = [pairs.start for pairs in self.pairs]
        nothing = np.empty((0, 0), np.float32)  # of width 0
        self.full, self.first, self.rest = [nothing], [nothing], [nothing]
        for w in range(1, n + 1):
            many = np.full((n - w + 1, len(self.child)), -np.inf, dtype=np.float32)
            for k in range(1, w):  # words in the first of several parts
                np.maximum(many, self.first[k][: n - w + 1] + self.rest[w - k][k:], out=many)
            full = np.full((n - w + 1, len(self.grammar.symbols)), -np.inf, dtype=np.float32)
            if w == 1:
                full[:, :tags] = [self.grammar.lexicon.scores(word) for word in words]
            full[:, tags:] = np.maximum.reduceat(many + self.start, lead, axis=1)
            full[:, tags:] = best_of(full[:, v, None] + way for v, way in enumerate(self.chains))
            first = full[:, self.child]
            ends = np.maximum(many, first + self.stop)
            rest = np.full_like(many, -np.inf)
            for to, step in self.steps:
                np.maximum(rest[:, : len(to)], ends[:, to] + step, out=rest[:, : len(to)])
            self.full.append(full)  # the best of a symbol over the span
            self.first.append(first)  # the same, as a part
            self.rest.append(rest)  # what may follow a part

    def parse(self, words: Sequence[str]) -> Parsed | None:
        """The best tree and its log-probability as `Grammar.log_probability` has it, if any."""
        self.fill(words)
        roots, found = self.grammar.roots, self.full[-1][0]
        scores = {
            i: found[i] + np.log(roots[label] / roots.total())
            for i, (label, above) in enumerate(self.grammar.symbols)
            if above == "" and label in roots
        }
        best = max(scores, key=lambda i: scores[i])
        if scores[best] == -np.inf:
            return None
        return Parsed(self.tree(words, best, 0, len(words)), float(scores[best]))

    def tree(self, words: Sequence[str], symbol: int, at: int, width: int) -> Tree:
        """What the chart says of a symbol over a span."""
        label, _ = self.grammar.symbols[symbol]
        if symbol < self.tags:
            return Tree(label, (words[at],))
        pairs = self.pairs[symbol - self.tags]
        parts, before = [], self.start[pairs]
        while width:
            ends = [(self.first[width][at] + self.stop)[pairs]]  # the last part
            more = [
                self.first[k][at, pairs] + self.rest[width - k][at + k, pairs]
                for k in range(1, width)
            ]
            k, part = divmod(int(np.argmax(np.array([*more, *ends]) + before)), len(before))
            parts.append(self.tree(words, int(self.child[pairs][part]), at, k + 1))
            before = np.array([step[pairs.start + part] for _, step in self.steps[: len(before)]])
            at, width = at + k + 1, width - k - 1
        return Tree(label, tuple(parts))
