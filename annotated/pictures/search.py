"""A beam search as a tree: what was open at each step, and what came of it."""

from collections.abc import Sequence

from annotated.pictures.charts import PALETTE, Picture
from annotated.pictures.diagrams import Diagram

Node = tuple[int, str, float, bool]  # of a search: parent, token, number, has it ended
TREE_GAP = 22  # between two columns of a search


def search_tree(
    levels: Sequence[Sequence[Node]],
    best: tuple[int, int],
    caption: str,
    *,
    form: str = "{:.2f}",
    alt: str = "",
) -> Picture:
    """A beam search as it grows from left to right, a column a step, and in it a box a hypothesis.

    levels[t]: the hypotheses that step t kept, each as (its parent's index in levels[t - 1], its
    last token, a number such as its log-probability, whether it has ended); levels[0] is the root
    alone. Ended ones have a double frame, those that led nowhere are faint, and the way to
    best = (t, index) is bold.
    """
    names = [[node[1].strip() or "␣" for node in level] for level in levels]
    values = [[form.format(node[2]).replace("-", "−") for node in level] for level in levels]
    wide = [
        10 + max(*(6.7 * len(name) for name in column), *(6 * len(value) for value in figures))
        for column, figures in zip(names, values, strict=True)
    ]
    left = [2 + sum(wide[:t]) + TREE_GAP * t for t in range(len(levels))]
    diagram = Diagram(left[-1] + wide[-1] + 2, 22 + 46 * max(map(len, levels)), font=12)
    for t in range(len(levels)):
        diagram.text(left[t] + wide[t] / 2, 9, str(t) if t else "step", size=11)
    hopeful, way = kept_alive(levels), way_to(levels, best)
    nodes = [(t, i) for t, level in enumerate(levels) for i in range(len(level))]
    for t, i in sorted(nodes, key=lambda at: (at in way, at in hopeful)):  # the bold one last
        parent, _, _, ended = levels[t][i]
        x, y = left[t] + wide[t] / 2, 40 + 46 * i
        diagram.parts.append("<g>" if (t, i) in hopeful else '<g opacity="0.5">')
        if t:
            draw_branch(diagram, left[t], 40 + 46 * parent, y, (t, i) in way)
        color = PALETTE[1 if (t, i) in way else 0]
        diagram.box(x, y, wide[t], 38, "", color)
        if ended:
            diagram.box(x, y, wide[t] - 6, 32, "", color)
        diagram.text(x, y - 7, names[t][i])
        diagram.text(x, y + 8, values[t][i], size=10)
        diagram.parts.append("</g>")
    return diagram.picture(caption, alt)


def draw_branch(diagram: Diagram, x: float, start: float, end: float, bold: bool) -> None:
    """A curve to a box whose left side is x, at the height `end`, from its parent's right side."""
    middle = x - TREE_GAP / 2
    curve = f"M{x - TREE_GAP:g} {start:g} C{middle:g} {start:g} {middle:g} {end:g} {x:g} {end:g}"
    ink = f'stroke="{PALETTE[1]}" stroke-width="3"' if bold else 'stroke="currentColor"'
    diagram.parts.append(f'<path d="{curve}" fill="none" {ink}/>')


def kept_alive(levels: Sequence[Sequence[Node]]) -> set[tuple[int, int]]:
    """The nodes, as (step, index), from which a way leads to one that ended or to the last step."""
    alive = {(len(levels) - 1, i) for i in range(len(levels[-1]))}
    for t in reversed(range(len(levels))):
        alive |= {(t, i) for i, node in enumerate(levels[t]) if node[3]}
        alive |= {(t - 1, node[0]) for i, node in enumerate(levels[t]) if t and (t, i) in alive}
    return alive


def way_to(levels: Sequence[Sequence[Node]], best: tuple[int, int]) -> set[tuple[int, int]]:
    """The nodes from the root to this one, as (step, index)."""
    t, i = best
    if not (0 <= t < len(levels) and 0 <= i < len(levels[t])):
        raise ValueError(f"there is no hypothesis {i} in step {t}")
    way = set()
    while True:
        way.add((t, i))
        if t == 0:
            return way
        t, i = t - 1, levels[t][i][0]
