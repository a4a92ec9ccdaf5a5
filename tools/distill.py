"""Sequence-level distillation: the sources of a corpus, translated by several models together.

python tools/distill.py MODEL MODEL.. --data multi30k --out FILE

Kim and Rush (2016): a student learns from what the teacher writes instead of, or beside, what
people wrote. The teacher is an ensemble: the mean of its models' probabilities counts.
FILE gets a line for each training pair: what `annotated train --teacher FILE` reads.

python tools/distill.py MODEL MODEL.. --data multi30k --record RECORD

How good the teacher is: scores on the validation set, of the first model, the first two, and so on.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a script, Python looks in tools/ only
    sys.path.insert(0, str(ROOT))

from annotated.cli.record import scored  # noqa: E402
from annotated.data.batching import pad_sequences  # noqa: E402
from annotated.data.corpora import corpus_hashes, load  # noqa: E402
from annotated.data.tokenizer import EOS, Tokenizer, spaced  # noqa: E402
from annotated.files import make, write  # noqa: E402
from annotated.model.transformer import Transformer  # noqa: E402
from annotated.results import commit, save  # noqa: E402
from annotated.training.checkpoints import load_checkpoint  # noqa: E402
from annotated.translation.hypotheses import SearchConfig  # noqa: E402
from annotated.translation.search import Decoding, Search  # noqa: E402

VALIDATION = "validation"
Translate = Callable[[Sequence[str]], list[str]]  # texts -> their translations


class Ensemble:
    """Several decodings as one: the mean of their probabilities for the next token."""

    def __init__(self, members: list[Decoding]):
        self.members = members

    def step(self, token: Tensor, parent: Tensor | None = None) -> Tensor:
        """token, parent (B, k) -> the logarithm of the mean of the probabilities (B, k, V)."""
        each = [one.step(token, parent).log_softmax(-1) for one in self.members]
        return torch.stack(each).logsumexp(0) - math.log(len(each))

    def select(self, rows: Tensor) -> None:
        """Go on with these rows (n,) of the batch only."""
        for one in self.members:
            one.select(rows)


def search(models: Sequence[Transformer], source: Tensor, config: SearchConfig) -> list[list[int]]:
    """The best translation of each row of source (B, S) that the ensemble finds, as ids."""
    found = Search(models[0], source, config)
    with torch.inference_mode():
        others = [Decoding(one.eval(), source, config.beam, config.extra) for one in models[1:]]
        found.decoding = Ensemble([found.decoding, *others])  # type: ignore[assignment]
    while found.open:
        found.step()
    return [sentence.finished[0].ids for sentence in found.sentences]


def translations(
    models: Sequence[Transformer],
    tokenizer: Tokenizer,
    texts: Sequence[str],
    config: SearchConfig,
    rows: int = 64,
) -> list[str]:
    """What the ensemble writes for each text, in order; those of like length go together."""
    encoded = [tokenizer.encode(spaced(text)) for text in texts]
    order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
    written, began = [""] * len(texts), time.monotonic()
    for start in range(0, len(order), rows):
        group = order[start : start + rows]
        source = pad_sequences([[*encoded[i], EOS] for i in group])  # (B, S)
        for i, ids in zip(group, search(models, source, config), strict=True):
            written[i] = tokenizer.decode(ids)
        if start // rows % 20 == 19:
            minutes = (time.monotonic() - began) / 60
            print(f"{start + len(group):,} of {len(order):,}, {minutes:.1f} min", file=sys.stderr)
    return written


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    top.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="checkpoints' folders")
    top.add_argument("--data", default="multi30k", help="the corpus (default: multi30k)")
    top.add_argument("--pair", default="en-de")
    top.add_argument("--beam", type=int, default=5)
    top.add_argument("--alpha", type=float, default=1.4)
    top.add_argument("--out", type=Path, metavar="FILE", help="translations of the sources")
    top.add_argument("--record", type=Path, metavar="RECORD", help="scores on the validation set")
    return top


def main(words: Sequence[str] | None = None) -> int:
    options = parser().parse_args(words)
    loaded = [load_checkpoint(place) for place in options.models]
    models, tokenizers = [each[0] for each in loaded], [each[1] for each in loaded]
    if len({one.bpe.to_str() for one in tokenizers}) > 1:
        print("the models have different vocabularies: an ensemble needs one", file=sys.stderr)
        return 2
    corpus = load(options.data, options.pair)
    config = SearchConfig(beam=options.beam, alpha=options.alpha)

    def teacher(count: int) -> Translate:
        return lambda texts: translations(models[:count], tokenizers[0], texts, config)

    if options.out:
        written = teacher(len(models))([source for source, _ in corpus.splits["train"]])
        make(options.out.parent)
        write(options.out, "".join(f"{line}\n" for line in written))
    if options.record:
        began, at_commit, lowercase = time.monotonic(), commit(), bool(loaded[0][2]["lowercase"])
        curve = [
            {
                "models": count,
                **next(scored(teacher(count), corpus, [VALIDATION], lowercase)).entry(),
            }
            for count in range(1, len(models) + 1)
        ]
        members = [
            {"model": str(place), "checkpoints": about.get("averaged")}
            for place, (_, _, about) in zip(options.models, loaded, strict=True)
        ]
        save(
            options.record,
            ["python", "tools/distill.py", *(sys.argv[1:] if words is None else words)],
            commit=at_commit,
            data=corpus_hashes(corpus),
            config={"models": members, "decoding": asdict(config)},
            seconds=time.monotonic() - began,
            curve=curve,
            scores={VALIDATION: curve[-1]},
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
