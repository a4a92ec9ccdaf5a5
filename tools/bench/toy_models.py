"""The Transformers of the toy language that benchmarks look into, each trained once and kept."""

from collections.abc import Callable
from pathlib import Path

from annotated import models
from annotated.data.batching import encode_pairs
from annotated.data.corpora import Corpus, load
from annotated.data.tokenizer import Tokenizer
from annotated.model.transformer import Transformer
from annotated.training.checkpoints import load_checkpoint, save_checkpoint
from tools.bench import recurrent, report
from tools.bench.recurrent import Sizes

PEAK = 0.004  # the Transformer's best in `python -m tools.bench recurrent`


def prepared(sizes: Sizes) -> tuple[Corpus, Tokenizer]:
    """The toy language and the vocabulary of its training set."""
    corpus = load("toy")
    return corpus, recurrent.vocabulary(corpus, sizes)


def trained(
    folder: Path,
    seed: int,
    sizes: Sizes,
    name: str = "transformer",
    change: Callable[[Transformer], Transformer] = lambda model: model,
) -> Transformer:
    """The Transformer of `recurrent` from this seed; the folder keeps it.

    change: what is made of it before it is trained, under a name of its own.
    """
    place = folder / f"{name}-{sizes.d_model}-{sizes.steps}-{seed}"
    if not place.exists():
        corpus, tokenizer = prepared(sizes)
        splits = {name: list(corpus.splits[name]) for name in ("train", "validation")}
        encoded = {name: encode_pairs(pairs, tokenizer) for name, pairs in splits.items()}
        config = recurrent.contenders(len(tokenizer), sizes)["Transformer"]
        model, rows = recurrent.fit(
            config, encoded, sizes, PEAK, seed, lambda config: change(models.build(config))
        )
        report.say(f"{name}, seed {seed}: validation loss {rows[-1]['validation_loss']:.3f}")
        save_checkpoint(place, model, tokenizer)
    return change(load_checkpoint(place)[0])
