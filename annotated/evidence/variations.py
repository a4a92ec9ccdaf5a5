# Tangled from chapters/evidence/variations.md: change it there, then run `make tangle`.
"""Every row of Table 3, as the paper has it and at a size that a small machine trains."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from annotated.model.transformer import PRESETS, TransformerConfig
from annotated.training.loop import TrainingConfig
from annotated.training.recipes import PAPERS


@dataclass(frozen=True)
class Row:
    """A row of Table 3: what is not as in the base model, and what the paper prints."""

    changes: dict[str, Any]  # field of either configuration -> value
    perplexity: float  # on newstest2013, per word piece
    bleu: float  # on newstest2013
    millions: int | None = None  # parameters, where the paper prints them


BASE = {"heads": 8, "d_k": 64, "layers": 6, "d_model": 512, "d_ff": 2048, "steps": 100_000}
ROWS = {
    "base": Row({}, 4.92, 25.8, 65),
    "A1": Row({"heads": 1}, 5.29, 24.9),  # all of A: d_k = d_v = 512 / heads
    "A2": Row({"heads": 4}, 5.00, 25.5),
    "A3": Row({"heads": 16}, 4.91, 25.8),
    "A4": Row({"heads": 32}, 5.01, 25.4),
    "B1": Row({"d_k": 16}, 5.16, 25.1, 58),
    "B2": Row({"d_k": 32}, 5.01, 25.4, 60),
    "C1": Row({"layers": 2}, 6.11, 23.7, 36),
    "C2": Row({"layers": 4}, 5.19, 25.3, 50),
    "C3": Row({"layers": 8}, 4.88, 25.5, 80),
    "C4": Row({"d_model": 256}, 5.75, 24.5, 28),  # d_k = d_v = 32
    "C5": Row({"d_model": 1024}, 4.66, 26.0, 168),  # d_k = d_v = 128
    "C6": Row({"d_ff": 1024}, 5.12, 25.4, 53),
    "C7": Row({"d_ff": 4096}, 4.75, 26.2, 90),
    "D1": Row({"dropout": 0.0}, 5.77, 24.6),
    "D2": Row({"dropout": 0.2}, 4.95, 25.5),
    "D3": Row({"smoothing": 0.0}, 4.67, 25.3),
    "D4": Row({"smoothing": 0.2}, 5.47, 25.7),
    "E": Row({"positions": "learned"}, 4.92, 25.7),
    "big": Row(
        {"d_model": 1024, "d_ff": 4096, "heads": 16, "dropout": 0.3, "steps": 300_000},
        4.33, 26.4, 213,
    ),
}  # fmt: skip


def named(words: Iterable[str]) -> list[str]:
    """The names of the rows that these words mean: "C1" one, "C" all of C, "all" every row.

    In the order of Table 3; ValueError for a word that names none.
    """
    wanted: set[str] = set()
    for word in words:
        found = {name for name in ROWS if word in (name, name.rstrip("1234567"), "all")}
        if not found:
            raise ValueError(f"Table 3 has no row {word}: it has {', '.join(ROWS)}; or all")
        wanted |= found
    return [name for name in ROWS if name in wanted]


@dataclass(frozen=True)
class Scale:
    """A base model and its training, from which the rows part in the paper's proportions."""

    model: TransformerConfig
    training: TrainingConfig
    train_pairs: int | None = None  # the first ones of the corpus; None: all

    def row(self, name: str) -> dict[str, Any]:
        """The fields of the two configurations that a row changes.

        What the paper doubles is doubled; rates stay as they are. ValueError where no whole number
        comes of it.
        """
        own = asdict(self.model) | asdict(self.training)
        own["d_k"] = self.model.d_model // self.model.heads
        changes = dict(ROWS[name].changes)
        for each in BASE.keys() & changes:
            changes[each], rest = divmod(changes[each] * own[each], BASE[each])
            if rest or not changes[each]:
                raise ValueError(f"row {name} has no whole {each} beside a base of {own[each]}")
        return changes

    def configurations(self, name: str) -> tuple[TransformerConfig, TrainingConfig]:
        """The model and the training of a row."""
        changes = self.row(name)
        of_model = {each: changes[each] for each in asdict(self.model).keys() & changes}
        of_training = {each: changes[each] for each in changes.keys() - of_model}
        return replace(self.model, **of_model), replace(self.training, **of_training)


SCALES = {  # small ones learn sooner with smaller first weights of attention
    "toy": Scale(
        TransformerConfig(2000, layers=3, d_model=64, d_ff=256, attention_gain=0.5),
        TrainingConfig(
            768, steps=1000, warmup=100, scale=0.3, log_every=50, validate_every=250, average=1
        ),
        train_pairs=4000,
    ),
    "multi30k": Scale(
        TransformerConfig(4000, layers=3, d_model=128, d_ff=512, attention_gain=0.25),
        TrainingConfig(1024, steps=1200, warmup=200, scale=0.35, validate_every=400, average=1),
    ),
    "wmt14": Scale(PRESETS["base"], replace(PAPERS["base"], average=1)),
}


def student(degrees: float, held: float = 0.95) -> float:
    """The t between minus and plus which this share of Student's distribution lies.

    With t = sqrt(degrees) tan(angle) its density is cos(angle) ** (degrees - 1), to be summed up.
    """
    angle = np.linspace(0, np.pi / 2, 100_001)
    mass = np.cumsum(np.cos(angle) ** (degrees - 1))
    return math.sqrt(degrees) * math.tan(angle[np.searchsorted(mass, held * mass[-1])])


def gap(ours: Sequence[float], others: Sequence[float]) -> tuple[float, float, float]:
    """The difference of two means: low, itself, high; 95 of 100 such intervals hold the true one.

    Welch (1947), for two samples whose spreads may differ, of two or more values each.
    """
    means = statistics.mean(ours), statistics.mean(others)
    parts = [statistics.variance(each) / len(each) for each in (ours, others)]
    degrees = sum(parts) ** 2 / sum(
        part**2 / (len(each) - 1) for part, each in zip(parts, (ours, others), strict=True)
    )
    reach = student(degrees) * math.sqrt(sum(parts))
    middle = means[0] - means[1]
    return middle - reach, middle, middle + reach


CLOSE = {"perplexity": (0.003, 0.03), "BLEU": (0.1, 0.5)}  # alike in the paper, and here


def verdict(paper: float, ours: tuple[float, float, float], measure: str) -> str:
    """Whether a difference of the paper's is found: "holds", "does not" or "cannot be said".

    Both are a row's less the base's, in BLEU or in the logarithm of perplexity; ours is a `gap`.
    """
    (low, _, high), (alike, close) = ours, CLOSE[measure]
    if abs(paper) <= alike + 1e-9:
        same, other = -close <= low and high <= close, low > close or high < -close
    else:
        same, other = (low > 0, high < 0) if paper > 0 else (high < 0, low > 0)
    return "holds" if same else "does not" if other else "cannot be said"


def perplexity(record: dict[str, Any]) -> float:
    """Of a recorded run, on the validation set, per token: the exponential of its loss."""
    return math.exp(record["curve"][-1]["validation_loss"])


def bleu(record: dict[str, Any]) -> float:
    """Of a recorded run, on the validation set."""
    return record["scores"]["validation"]["bleu"]


def summary(record: dict[str, Any]) -> str:
    """A recorded run in two numbers."""
    return f"perplexity {perplexity(record):.2f}, BLEU {bleu(record):.1f}"


def spread(values: Sequence[float], form: str) -> str:
    """Mean and standard deviation."""
    around = f" ± {format(statistics.stdev(values), form)}" if len(values) > 1 else ""
    return format(statistics.mean(values), form) + around


def table(records: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each row that was run: how often, and its scores with their spread over seeds."""
    lines = [f"{'row':5} {'runs':>4} {'perplexity':>14} {'BLEU':>13} {'parameters':>12}  changes"]
    for name in ROWS:
        if runs := [record for record in records if record["row"] == name]:
            scores = spread([*map(perplexity, runs)], ".2f"), spread([*map(bleu, runs)], ".1f")
            weights = f"{runs[0]['config']['model']['parameters']:,}"
            changes = ", ".join(f"{key} {value}" for key, value in runs[0]["changes"].items())
            cells = f"{name:5} {len(runs):4} {scores[0]:>14} {scores[1]:>13} {weights:>12}"
            lines.append(f"{cells}  {changes}".rstrip())
    return lines
