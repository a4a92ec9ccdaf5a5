"""Constituency trees, side by side, and where they part."""

from collections import Counter
from collections.abc import Mapping
from functools import reduce
from typing import Any

from annotated.pictures.charts import PALETTE, Picture
from annotated.pictures.diagrams import Diagram

LEVEL = 34  # from a label to those below it
COLUMN = 740  # trees that are wider together stand one below the other


def trees(shown: Mapping[str, Any], caption: str, *, alt: str = "") -> Picture:
    """Trees, each with `label` and `children` (words are str), under their titles.

    Where there are several, over the same words, a label that not all of them have over those
    words stands in a box and on thick lines.
    """
    spans = {title: brackets(tree) for title, tree in shown.items()}
    shared = reduce(Counter.__and__, (Counter(each) for each in spans.values()))
    drawn = [draw(tree, title, spans[title], shared) for title, tree in shown.items()]
    width, height = sum(one.width for one in drawn), max(one.height for one in drawn)
    beside = width <= COLUMN
    if not beside:
        width, height = max(one.width for one in drawn), sum(one.height for one in drawn)
    whole, x, y = Diagram(width, height), 0.0, 0.0
    for one in drawn:
        whole.parts += [f'<g transform="translate({x:g} {y:g})">', *one.parts, "</g>"]
        x, y = (x + one.width, 0) if beside else (0, y + one.height)
    return whole.picture(caption, alt)


def brackets(tree: Any) -> list[tuple[str, int, int]]:
    """Label, first word and word after the last of each node, those below a node before it."""
    found: list[tuple[str, int, int]] = []

    def visit(node: Any, start: int) -> int:
        end = start
        for child in node.children:
            end = end + 1 if isinstance(child, str) else visit(child, end)
        found.append((node.label, start, end))
        return end

    visit(tree, 0)
    return found


def depth(tree: Any) -> int:
    """The number of labels above the deepest word."""
    return 1 + max(0 if isinstance(child, str) else depth(child) for child in tree.children)


def room(words: str) -> float:
    """How wide a label or a word is, with a gap."""
    return 10 + 7.6 * len(words)


def space(node: Any) -> float:
    """How wide a node is with all that is below it."""
    if isinstance(node, str):
        return room(node)
    return max(room(node.label), sum(space(child) for child in node.children))


def draw(tree: Any, title: str, spans: list[tuple[str, int, int]], shared: Counter) -> Diagram:
    """One tree, its words in a row at the foot; marked is what is not `shared`."""
    top = 34 if title else 14
    foot = top + LEVEL * depth(tree)
    diagram = Diagram(max(space(tree), room(title)) + 12, foot + 14, font=13)
    if title:
        diagram.text(diagram.width / 2, 10, title, size=12)
    order, left = iter(spans), shared.copy()

    def visit(node: Any, x: float, y: float) -> float:
        """Draws what is below a node, then the node itself -> its middle."""
        inner = x + (space(node) - sum(space(child) for child in node.children)) / 2
        ends: list[tuple[float, float]] = []  # of the lines to what is below
        for child in node.children:
            if isinstance(child, str):
                ends.append((inner + space(child) / 2, foot))
                diagram.text(inner + space(child) / 2, foot, child)
            else:
                lower = foot - LEVEL if isinstance(child.children[0], str) else y + LEVEL
                ends.append((visit(child, inner, lower), lower))
            inner += space(child)
        middle = (ends[0][0] + ends[-1][0]) / 2
        span = next(order)
        marked = left[span] == 0
        left[span] -= not marked
        for end, below in ends:
            branch(diagram, (middle, y + 9), (end, below - 9), marked)
        if marked:
            diagram.box(middle, y, room(node.label) - 2, 20, "", PALETTE[1])
        diagram.text(middle, y, node.label)
        return middle

    top = foot - LEVEL if isinstance(tree.children[0], str) else top
    visit(tree, (diagram.width - space(tree)) / 2, top)
    return diagram


def branch(
    diagram: Diagram, above: tuple[float, float], below: tuple[float, float], marked: bool
) -> None:
    """A line from a label to one below it."""
    ink = f'stroke="{PALETTE[1]}" stroke-width="2.5"' if marked else 'stroke="currentColor"'
    diagram.parts.append(
        f'<path d="M{above[0]:g} {above[1]:g} L{below[0]:g} {below[1]:g}" fill="none" {ink}/>'
    )
