# Tangled from chapters/evidence/trees.md: change it there, then run `make tangle`.
"""Constituency trees: read, cleaned, and whole treebanks of them (Section 6.3)."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from annotated.data import toy
from annotated.data.corpora import CorpusError, Remote, fetch, local, stream_lines


class Tree(NamedTuple):
    """A constituent over its parts, or a part of speech over its one word, a str."""

    label: str
    children: "tuple[Tree | str, ...]"

    def nodes(self) -> "Iterator[Tree]":
        """This tree and all trees in it, each before its parts, from left to right."""
        waiting = [self]  # no recursion: trees may be deep
        while waiting:
            yield (node := waiting.pop())
            waiting += [child for child in reversed(node.children) if isinstance(child, Tree)]

    @property
    def is_tag(self) -> bool:
        """Whether it is a part of speech."""
        return isinstance(self.children[0], str)

    def leaves(self) -> list[str]:
        """The words, from left to right."""
        return [child for node in self.nodes() for child in node.children if isinstance(child, str)]

    def tags(self) -> list[str]:
        """The part of speech of each word."""
        return [node.label for node in self.nodes() if node.is_tag]

    def spans(self) -> list[tuple[str, int, int]]:
        """Label, first word and the word after the last of each constituent, parents first."""
        nodes, sizes = list(self.nodes()), []
        open_sizes: list[int] = []
        for node in reversed(nodes):  # parts come before what they are parts of
            size = 1 if node.is_tag else sum(open_sizes.pop() for _ in node.children)
            open_sizes.append(size)
            sizes.append(size)
        found, start = [], 0
        for node, size in zip(nodes, reversed(sizes), strict=True):
            if node.is_tag:
                start += 1
            else:
                found.append((node.label, start, start + size))
        return found

    def __str__(self) -> str:
        """In Penn brackets: (NP (DT the) (NN dog))"""
        text = ""
        waiting: list[Tree | str | None] = [self]
        while waiting:
            part = waiting.pop()
            if isinstance(part, Tree):
                text += f" ({part.label}"
                waiting += [None, *reversed(part.children)]
            else:
                text += ")" if part is None else f" {part}"
        return text.strip()


def read_trees(lines: Iterable[str], name: str = "trees") -> Iterator[Tree]:
    """The trees of lines in Penn brackets; one may span lines, and two never share one.

    The outer bracket of "( (S ...) )" is left out. Raises CorpusError, one sentence with `name`
    and the number of the line, for what is no tree.
    """
    open_brackets: list[list[Tree | str]] = []  # what each holds so far
    start = end = 0  # lines of the tree that is read, and of the one before
    for number, line in enumerate(lines, 1):
        where = f"{name}, line {number}"
        for token in re.findall(r"[()]|[^()\s]+", line, re.ASCII):  # a word may hold a thin space
            if token == "(":
                if not open_brackets:
                    if end == number:
                        raise CorpusError(f"{where}: a second tree begins; give it its own line")
                    start = number
                open_brackets.append([])
            elif not open_brackets:
                raise CorpusError(f"{where}: {token!r} stands outside of all brackets")
            elif token == ")":
                tree = closed(open_brackets.pop(), not open_brackets, where)
                if open_brackets:
                    open_brackets[-1].append(tree)
                else:
                    end = number
                    yield tree
            else:
                open_brackets[-1].append(token)
    if open_brackets:
        lacks = f"lacks {len(open_brackets)} of its closing brackets"
        raise CorpusError(f"{name}, line {start}: the tree that begins here {lacks}")


def closed(parts: list[Tree | str], is_root: bool, where: str) -> Tree:
    """The tree of what stood in a bracket: a label, which a root may lack, and its parts."""
    if not parts:
        raise CorpusError(f"{where}: a bracket is empty")
    if isinstance(parts[0], Tree):
        if not is_root:
            raise CorpusError(f"{where}: a bracket within a tree has no label")
        return parts[0] if len(parts) == 1 else Tree("", tuple(parts))
    label, children = parts[0], parts[1:]
    if not children:
        raise CorpusError(f"{where}: {label} has no word")
    words = [child for child in children if isinstance(child, str)]
    if words and len(children) > 1:
        raise CorpusError(f"{where}: {label} holds {words[0]!r} and more: give each word its tag")
    return Tree(label, tuple(children))


def cleaned(tree: Tree) -> Tree | None:
    """The tree without empty elements and function tags; None where no word is left.

    -NONE- goes, and each constituent that holds nothing else; NP-SBJ-1 and NP=2 become NP. What
    is left as a constituent over one of the same label stays: the annotators made both.
    """
    if tree.is_tag:
        return None if tree.label == "-NONE-" else tree
    parts = [cleaned(child) for child in tree.children if isinstance(child, Tree)]
    kept = tuple(part for part in parts if part)
    return Tree(bare(tree.label), kept) if kept else None


def bare(label: str) -> str:
    """The label before its first -, = or |; a name such as -LRB- is whole."""
    return re.split("[-=|]", label)[0] or label


CRAFT_ARTICLES = {
    "train.trees": """
11532192 11597317 11897010 12079497 12546709 12585968 12925238 14609438 14611657 14723793
14737183 15005800 15040800 15061865 15207008 15314655 15314659 15320950 15328533 15345036
15492776 15550985 15588329 15630473 15676071 15760270 15819996 15836427 15876356 15917436
15921521 15938754 16098226 16103912 16109169 16110338 16121255 16121256 16216087 16221973
16255782 16279840 16362077 16433929 16462940 16504143 16504174 16507151 16539743 16579849
16628246 16670015 16700629 16870721 17002498 17020410 17022820 17069463 17078885 17083276
""".split(),
    "dev.trees": "17194222 17244351 17425782 17447844 17590087 17608565 17696610".split(),
}
CRAFT = Remote(
    folder="craft_treebank",
    url="https://raw.githubusercontent.com/UCDenver-ccp/CRAFT/HEAD/structural-annotation/"
    "treebank/penn/",
    terms="Trees of the Colorado Richly Annotated Full-Text Corpus, under CC BY 3.0: name it "
    "where you use them. https://github.com/UCDenver-ccp/CRAFT",
    files={
        "train.trees": "c323e628d100655b28735eae553f4f39055f74ca3c01387ece2f8ca307501f3d",
        "dev.trees": "375a93c83b1ea203c58881d75d68627f549f3b7dd9237e64f40710e97c428b30",
        **{f"{article}.tree": None for part in CRAFT_ARTICLES.values() for article in part},
    },
)
NO_TEXT = frozenset({"TITLE", "HEADING", "CAPTION"})  # roots of what is no running text


def treebank(name: str = "craft", headings: bool = True) -> dict[str, list[Tree]]:
    """Cleaned trees of "craft" or the "toy" language, in splits such as "train" and "validation".

    `headings` False leaves out titles, headings and captions. Raises CorpusError.
    """
    if name == "toy":
        return {
            split: list(read_trees(pair.tree for pair in pairs))
            for split, pairs in toy.splits().items()
        }
    if name != "craft":
        raise CorpusError(f"there is no treebank {name!r}: take craft or toy, or files of your own")
    splits = {
        split: list(usable(read_trees(craft_lines(file), file)))
        for split, file in (("train", "train.trees"), ("validation", "dev.trees"))
    }
    return splits if headings else {s: without_headings(trees) for s, trees in splits.items()}


def without_headings(trees: Iterable[Tree]) -> list[Tree]:
    """Those that are neither title, heading nor caption."""
    return [tree for tree in trees if tree.label not in NO_TEXT]


def usable(trees: Iterable[Tree]) -> Iterator[Tree]:
    """The trees, cleaned; what holds no word is left out."""
    return (kept for tree in trees if (kept := cleaned(tree)))


def craft_lines(name: str) -> Iterator[str]:
    """The lines of one part of CRAFT: its articles, one after the other."""
    whole = local(CRAFT, name)
    files = [whole] if whole else fetch(CRAFT, [f"{each}.tree" for each in CRAFT_ARTICLES[name]])
    if not whole:
        found = hashlib.sha256(b"".join(file.read_bytes() for file in files))
        if found.hexdigest() != CRAFT.files[name]:
            raise CorpusError(
                f"the articles in {CRAFT.cache} are not those of {name} that we know (their "
                "SHA-256 differs): delete them, and they are downloaded again"
            )
    return (line for file in files for line in stream_lines(file))


def treebank_files(train: Sequence[Path], dev: Sequence[Path] = ()) -> dict[str, list[Tree]]:
    """The same of files with a user's own trees, such as WSJ's; gzipped where a name ends in .gz.

    Raises CorpusError where a file cannot be read, holds none, or a line is no tree.
    """
    parts = {"train": train, "validation": dev}
    return {
        split: [tree for file in files for tree in of_file(file)] for split, files in parts.items()
    }


def of_file(path: Path) -> list[Tree]:
    """The cleaned trees of one file."""
    trees = list(usable(read_trees(stream_lines(path), str(path))))
    if not trees:
        raise CorpusError(f"{path} holds no trees: fill it, a tree in Penn brackets a line")
    return trees
