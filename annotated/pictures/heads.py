"""The weights of attention heads: live in a page or a notebook, and still where scripts are off."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from annotated.pictures.charts import PALETTE, Picture, numbers
from annotated.pictures.diagrams import Diagram

FORMS = ("lines", "matrix")
FAINT = 0.02  # a weight below it has no line


class Look(NamedTuple):
    """One attention of a model on one sentence."""

    name: str
    rows: Sequence[str]  # the T tokens that look
    columns: Sequence[str]  # the S tokens that are looked at
    weights: Any  # (N, H, T, S): of each layer and head
    written: Sequence[str] = ()  # the T tokens that the rows are to predict, in a decoder


@dataclass(frozen=True)
class HeadView:
    """Attentions to look into, and where the view begins: see `head_view`."""

    looks: Sequence[Look]
    caption: str
    look: int
    layer: int
    head: int
    row: int | None
    form: int

    def _repr_html_(self) -> str:
        data = escape(json.dumps(self.data(), ensure_ascii=False, separators=(",", ":")))
        live = f'<div class="heads" data-heads="{data}">'
        return self.still()._repr_html_().replace("<div>", live, 1) + shared()

    def __repr__(self) -> str:
        return f"<HeadView: {self.caption}>"

    def data(self) -> dict[str, Any]:
        """What the script draws; weights are bytes, 255 for 1."""
        looks = [
            {
                "name": look.name,
                "rows": [*look.rows],
                "columns": [*look.columns],
                "written": [*look.written] or None,
                "layers": len(look.weights),
                "heads": len(look.weights[0]),
                "weights": packed(look.weights),
            }
            for look in self.looks
        ]
        start = {"look": self.look, "layer": self.layer, "head": self.head, "form": self.form}
        word = None if self.row is None else (0, self.row)
        return {"caption": self.caption, "looks": looks, **start, "word": word, "reads": 0}

    def still(self) -> Picture:
        """The head that the view begins with, as lines between two columns of words."""
        look = self.looks[self.look]
        rows, columns = look.written or look.rows, look.columns
        weights = numbers(look.weights[self.layer][self.head])  # (T, S)
        sheet = Diagram(380, 34 + 22 * max(len(rows), len(columns)))
        title = f"{look.name}, layer {self.layer + 1}, head {self.head + 1}"
        sheet.text(190, 10, title, size=13)
        for (t, s), weight in np.ndenumerate(weights):
            if weight >= FAINT and self.row in (None, t):
                sheet.parts.append(
                    f'<line x1="132" y1="{36 + 22 * t}" x2="248" y2="{36 + 22 * s}" '
                    f'stroke="{PALETTE[0]}" stroke-width="{0.5 + 6 * weight:.1f}" '
                    f'stroke-opacity="{max(weight, 0.1):.2f}"/>'
                )
        for x, words, anchor in ((126, rows, "end"), (254, columns, "start")):
            for i, word in enumerate(words):
                sheet.text(x, 36 + 22 * i, shortened(word), anchor=anchor, size=13)
        return sheet.picture(self.caption, f"{self.caption} {title}: {strongest(self, weights)}.")


def strongest(view: HeadView, weights: np.ndarray) -> str:
    """The three largest weights in words: of the row that is singled out, or of all."""
    look = view.looks[view.look]
    rows = look.written or look.rows
    shown = [at for at in np.ndindex(weights.shape) if view.row in (None, at[0])]
    most = sorted(shown, key=lambda at: -weights[at])[:3]
    return ", ".join(f"{rows[t]} looks at {look.columns[s]} {weights[t, s]:.2f}" for t, s in most)


def shortened(word: str, most: int = 15) -> str:
    return word if len(word) <= most else word[: most - 1] + "…"


def packed(weights: Any) -> str:
    """Weights from 0 to 1, a byte each, in base64."""
    levels = np.round(255 * np.clip(numbers(weights), 0, 1)).astype(np.uint8)
    return base64.b64encode(levels.tobytes()).decode("ascii")


@cache
def shared() -> str:
    """Style and script of all views; a page that has several needs them once."""
    here = Path(__file__)
    style, script = (here.with_suffix(end).read_text("utf-8") for end in (".css", ".js"))
    return f"<style data-once>{style}</style><script data-once>{script}</script>"


def head_view(
    looks: Sequence[Look],
    caption: str,
    *,
    look: str | None = None,
    layer: int = 1,
    head: int = 1,
    word: str | None = None,
    form: str = "lines",
) -> HeadView:
    """All heads of a layer as small heat maps, and below them one head closely.

    It begins with the attention named `look` (None: the first), a layer and a head, counted from
    1, drawn as "lines" or as a "matrix"; word: the token whose row is singled out at first.
    ValueError where there is none of what is asked for, or weights do not fit their words.
    """
    names = [each.name for each in looks]
    index = names.index(one_of(look, names, "attention")) if look is not None else 0
    for each in looks:
        fits = np.shape(each.weights)[2:] == (len(each.rows), len(each.columns))
        if np.ndim(each.weights) != 4 or not fits or len(each.written) not in (0, len(each.rows)):
            raise ValueError(f"the weights of {each.name} do not fit its words")
    layers, heads = np.shape(looks[index].weights)[:2]
    for name, number, count in (("layer", layer, layers), ("head", head, heads)):
        one_of(number, range(1, count + 1), name)
    rows = [*(looks[index].written or looks[index].rows)]
    row = None if word is None else rows.index(one_of(word, rows, "token"))
    drawn = FORMS.index(one_of(form, FORMS, "form"))
    return HeadView(looks, caption, index, layer - 1, head - 1, row, drawn)


def one_of(wanted: Any, offered: Sequence[Any], what: str) -> Any:
    """What is wanted, if it is offered; else ValueError."""
    if wanted not in offered:
        raise ValueError(f"there is no {what} {wanted!r}: there are {', '.join(map(str, offered))}")
    return wanted
