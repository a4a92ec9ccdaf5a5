# Tangled from chapters/evidence/parsing.md: change it there, then run `make tangle`.
"""Parsing: a tree as a sequence, and a search that writes nothing but trees (Section 6.3)."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import tokenizers
import torch
from tokenizers import AddedToken
from torch import Tensor
from torch.nn import functional as F

from annotated.data.corpora import Corpus
from annotated.data.tokenizer import (
    EOS,
    SMALLEST,
    SPECIALS,
    Tokenizer,
    TokenizerError,
    learn_merges,
)
from annotated.evidence.bracketing import Brackets, compare
from annotated.evidence.trees import Tree
from annotated.model.transformer import Transformer
from annotated.ranges import Count, Power, Whole
from annotated.translation.search import SearchConfig, search_all

Symbols = Sequence[str | None]  # of a tree as a sequence; None is what is no symbol


def linearize(tree: Tree) -> list[str]:
    """Brackets with their labels, and a tag for each word: (S (NP DT NN )NP (VP VBZ )VP )S"""
    symbols: list[str] = []
    waiting: list[Tree | str] = [tree]  # no recursion: any depth will do
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):  # a closing bracket
            symbols.append(part)
        elif part.is_tag:
            symbols.append(part.label)
        else:
            symbols.append(f"({part.label}")
            waiting += [f"){part.label}", *reversed(part.children)]
    return symbols


Open = tuple[str, list[Tree | str]]  # a constituent under way: its label, and its parts so far


def tree_of(words: Sequence[str], symbols: Symbols) -> Tree:
    """The tree of these symbols over these words: `linearize` backwards, and what is broken mended.

    A closing bracket closes all that is open in its constituent; one that fits none is left out,
    and so are tags beyond the last word, constituents without a word, and None. Words that are left
    become nouns (NN) at the root. Several roots, or none, get an S above them. ValueError without
    words.
    """
    if not words:
        raise ValueError("a tree has at least one word")
    stack: list[Open]
    left, stack = deque(words), [("", [])]  # at the bottom, what has no parent
    for symbol in filter(None, symbols):
        label = symbol[1:]
        if symbol[0] == "(":
            stack.append((label, []))
        elif symbol[0] == ")":
            fits = (i for i in range(len(stack) - 1, 0, -1) if stack[i][0] == label)
            close(stack, next(fits, len(stack)))
        elif left:
            stack[-1][1].append(Tree(symbol, (left.popleft(),)))
    close(stack, 1)
    return rooted(stack[0][1], [Tree("NN", (word,)) for word in left])


def close(stack: list[Open], place: int) -> None:
    """Close what is open from this place on; what is empty goes."""
    while len(stack) > place:
        label, parts = stack.pop()
        if parts:
            stack[-1][1].append(Tree(label, tuple(parts)))


def rooted(parts: Sequence[Tree | str], rest: Sequence[Tree]) -> Tree:
    """The one tree among `parts`, or an S over them, with the rest at its end."""
    [*one] = parts
    if len(one) == 1 and isinstance(one[0], Tree) and not (rest and one[0].is_tag):
        return Tree(one[0].label, (*one[0].children, *rest))
    return Tree("S", (*one, *rest))


def well_formed(symbols: Symbols, words: int) -> bool:
    """Whether the symbols are a tree over so many words, and nothing has to be mended."""
    return linearize(tree_of([""] * words, symbols)) == list(symbols)


def tree_corpus(name: str, splits: Mapping[str, Sequence[Tree]]) -> Corpus:
    """Trees as a corpus of pairs: the words, and the symbols."""
    pairs = {
        split: [(" ".join(tree.leaves()), " ".join(linearize(tree))) for tree in trees]
        for split, trees in splits.items()
    }
    return Corpus(name, "en", "trees", pairs)


class TreeTokenizer(Tokenizer):
    """Subwords for the words of sentences, and an id for each symbol of trees: one vocabulary.

    A symbol is a special token, like EOS: no text is ever encoded to it. Its name begins with a
    space, which no subword's does. It is saved and loaded as a `Tokenizer`.
    """

    def __init__(self, bpe: tokenizers.Tokenizer):
        super().__init__(bpe)
        special = {i: token.content for i, token in bpe.get_added_tokens_decoder().items()}
        self.names = {i: name[1:] for i, name in special.items() if name not in SPECIALS}
        self.ids = {name: i for i, name in self.names.items()}

    @classmethod
    def over(cls, tokenizer: Tokenizer) -> "TreeTokenizer":
        """A vocabulary that was loaded as another kind; without symbols `names` is empty."""
        return cls(tokenizer.bpe)

    @classmethod
    def learn(
        cls, pairs: Iterable[tuple[str, str]], vocab_size: int, lowercase: bool = False
    ) -> "TreeTokenizer":
        """Of pairs of words and symbols: `vocab_size` ids at most, all symbols among them.

        Raises TokenizerError where these, 256 bytes and three special tokens do not go into it.
        """
        sources, targets = zip(*pairs, strict=True)
        names = sorted({name for line in targets for name in line.split()})
        if vocab_size < SMALLEST + len(names):
            has = f"a vocabulary of these trees has {SMALLEST + len(names)} ids or more"
            raise TokenizerError(f"{has}, not {vocab_size}")
        bpe = learn_merges(sources, vocab_size - len(names), lowercase)
        bpe.add_special_tokens([AddedToken(f" {name}", special=True) for name in names])
        return cls(bpe)

    def encode_pair(self, source: str, target: str) -> tuple[list[int], list[int]]:
        """The ids of words and of symbols; a symbol that training did not have is left out."""
        return self.encode(source), [self.ids[x] for x in target.split() if x in self.ids]

    def symbols(self, ids: Iterable[int]) -> list[str | None]:
        """The symbol of each id, None for a piece of a word. TokenizerError for an id outside."""
        return [self.names.get(i) for i in self.inside(ids)]


IN_A_ROW = 10  # opening brackets, at most: trees that people draw have fewer


class WellFormed:
    """The rule of trees: what comes next may still become a tree over exactly the words."""

    def __init__(self, tokenizer: TreeTokenizer):
        names = tokenizer.symbols(range(len(tokenizer)))
        pieces = [tokenizer.bpe.id_to_token(i) or "" for i in range(len(names))]
        first = [name[:1] if name else "" for name in names]
        self.opens = torch.tensor([each == "(" for each in first])  # (V,)
        self.closes = torch.tensor([each == ")" for each in first])
        self.tags = torch.tensor([each not in ("", "(", ")") for each in first])
        self.begins = torch.tensor([each.startswith("Ġ") for each in pieces])  # a word
        ids = tokenizer.ids
        self.partner = torch.tensor(
            [ids[f"){name[1:]}"] if name and name[0] == "(" else EOS for name in names]
        )  # (V,): what closes an opening bracket

    def __call__(self, source: Tensor, limit: Tensor, k: int) -> "OpenTrees":
        """source (B, S), limit (B,): the most tokens of each; k trees are under way for each."""
        words = self.begins.to(source.device)[source].sum(1)  # (B,)
        return OpenTrees(self, words, limit, k)


class OpenTrees:
    """k trees under way for each of B sentences, and which symbols may come next in each."""

    def __init__(self, rule: WellFormed, words: Tensor, limit: Tensor, k: int):
        """words, limit (B,): what each sentence has, and the most tokens that may be written"""
        device = words.device
        self.opens, self.closes, self.tags, self.partner = (
            x.to(device) for x in (rule.opens, rule.closes, rule.tags, rule.partner)
        )
        self.left = words[:, None].repeat(1, k)  # (B, k): words that have no tag yet
        self.depth = torch.zeros_like(self.left)  # (B, k): brackets that are open
        self.due = torch.full((*self.left.shape, 1), EOS, device=device)  # (B, k, depth): closing
        self.row = torch.zeros_like(self.left)  # (B, k): brackets opened in a row just now
        self.room = limit[:, None] + 1  # (B, 1): tokens that may still be written, and BOS

    def step(self, token: Tensor, parent: Tensor) -> Tensor:
        """The last tokens and whom they continue, (B, k) -> what may come next (B, k, V)"""
        self.write(token, parent)
        may_tag = (self.left > 0) & (self.depth > 0)
        # an opening bracket needs another to close it; then come the tags, and EOS
        has_room = self.room >= self.left + self.depth + 3
        may_open = (self.left > 0) & (self.row < IN_A_ROW) & has_room
        may_close = (self.row == 0) & ((self.depth > 1) | (self.left == 0))
        allowed = (may_open[..., None] & self.opens) | (may_tag[..., None] & self.tags)
        due = self.due.gather(2, self.depth[..., None])  # (B, k, 1)
        return allowed.scatter(2, due, may_close[..., None])

    def write(self, token: Tensor, parent: Tensor) -> None:
        """Note tokens (B, k) behind what their parents (B, k) have written."""
        self.room = self.room - 1
        self.left = self.left.gather(1, parent) - self.tags[token].int()
        deeper = self.opens[token].int() - self.closes[token].int()  # (B, k)
        self.depth = self.depth.gather(1, parent) + deeper
        self.depth = self.depth.clamp(min=0)  # of what the search has given up
        self.due = self.due.gather(1, parent[..., None].expand_as(self.due))
        self.row = (self.row.gather(1, parent) + 1) * self.opens[token]
        if self.depth.max() == self.due.size(2):
            self.due = F.pad(self.due, (0, 1))
        place = self.depth[..., None]
        due = torch.where(self.opens[token], self.partner[token], self.due.gather(2, place)[..., 0])
        self.due = self.due.scatter(2, place, due[..., None])

    def select(self, rows: Tensor) -> None:
        """Go on with these rows (n,) of the batch only."""
        for name in ("left", "depth", "row", "due", "room"):
            setattr(self, name, getattr(self, name)[rows])


@dataclass(frozen=True)
class ParsingConfig(SearchConfig):
    """How to search for a tree; the defaults are the paper's (Section 6.3)."""

    beam: Count = 21  # k, trees at a time; 1 is greedy
    alpha: Power = 0.3  # how much the score forgives length; 0 is not at all
    extra: Whole = 300  # symbols that a tree may have beyond the tokens of its sentence
    free: bool = False  # let the model write anything, and mend what is no tree


def written(
    model: Transformer,
    tokenizer: TreeTokenizer,
    sentences: Sequence[Sequence[str]],
    config: ParsingConfig | None = None,
    batch_tokens: int = 4096,
) -> list[list[str | None]]:
    """The symbols that the model writes for each sentence, given as its words.

    ValueError where there is no room for a tree.
    """
    config = config or ParsingConfig()
    if not config.free and config.extra < 2:
        raise ValueError(f"a tree has two brackets: extra is 2 or more, not {config.extra}")
    encoded = [tokenizer.encode(" ".join(words)) for words in sentences]
    reach, longest = model.config.reach, max(map(len, encoded), default=0) + 1
    if reach is not None and reach < longest + config.extra:
        raise ValueError(f"{longest} tokens and {config.extra} more are beyond {reach} positions")
    rule = None if config.free else WellFormed(tokenizer)
    found = search_all(model, encoded, 1, config, batch_tokens, rule)
    return [tokenizer.symbols(ones[0].ids) for ones in found]


def parse(
    model: Transformer,
    tokenizer: TreeTokenizer,
    sentences: Sequence[Sequence[str]],
    config: ParsingConfig | None = None,
) -> list[Tree]:
    """The tree of each sentence, given as its words; what is broken is mended: see `tree_of`."""
    symbols = written(model, tokenizer, sentences, config)
    return [tree_of(words, each) for words, each in zip(sentences, symbols, strict=True)]


LENGTHS = (10, 20, 30, 40, 60)  # words at which a group of sentences ends


def length_group(tree: Tree) -> str:
    """The group that a sentence is in by the number of its words: "1 to 10" ... "over 60"."""
    words, start = len(tree.leaves()), 1
    for end in LENGTHS:
        if words <= end:
            return f"{start} to {end}"
        start = end + 1
    return f"over {LENGTHS[-1]}"


def by_length(gold: Sequence[Tree], parsed: Sequence[Tree]) -> dict[str, Brackets]:
    """The brackets of each group of sentences, short ones first."""
    groups: dict[str, Brackets] = {}
    pairs = zip(gold, parsed, strict=True)
    for one, other in sorted(pairs, key=lambda pair: len(pair[0].leaves())):
        group = length_group(one)
        groups[group] = groups.get(group, Brackets()) + compare(one, other)
    return groups
