"""The sizes and the training of a run: what suits its corpus, or the paper's, then its options."""

from dataclasses import replace

from annotated.cli.corpus import CorpusOptions
from annotated.cli.options import override
from annotated.data.tokenizer import SMALLEST
from annotated.model.transformer import PRESETS, TransformerConfig
from annotated.ranges import RangeError
from annotated.training.loop import TrainingConfig

PAPERS = {  # a preset's training, with checkpoints ten minutes apart on the paper's GPUs
    "base": TrainingConfig(steps=100_000, validate_every=1500, average=5),
    "big": TrainingConfig(steps=300_000, validate_every=600, average=20),
}
MEDIUM = TransformerConfig(8000, layers=3, d_model=256, d_ff=1024, heads=4)
RECIPES = {  # what suits each corpus on two cores; every value can be set by an option
    "toy": (
        TransformerConfig(2000, 2, 128, 256, heads=4, dropout=0.0, norm_first=True),
        TrainingConfig(
            768, steps=2000, warmup=100, scale=0.5, smoothing=0.0, log_every=25, validate_every=250
        ),
    ),
    "multi30k": (
        TransformerConfig(6000, layers=3, d_model=128, d_ff=512, heads=4),
        TrainingConfig(2048, steps=20_000, warmup=500, scale=0.7, validate_every=500),
    ),
    "tatoeba": (MEDIUM, TrainingConfig(2048, steps=40_000, warmup=1000, scale=0.7)),
    "wmt14": (PRESETS["base"], PAPERS["base"]),
    "files": (MEDIUM, TrainingConfig(4096, steps=40_000, warmup=1000, scale=0.7)),
}


def configure(
    options: CorpusOptions, preset: str | None = None
) -> tuple[TransformerConfig, TrainingConfig]:
    """The two configurations of a run; RangeError where an option is out of range."""
    corpus, french = "files" if options.files() else options.data or "toy", options.pair == "en-fr"
    model, training = RECIPES[corpus]
    if corpus == "wmt14" and french:
        model = replace(model, vocab_size=32_000)  # the paper's are word pieces, ours are BPE
    if preset:
        model, training = replace(PRESETS[preset], vocab_size=model.vocab_size), PAPERS[preset]
        model = replace(model, dropout=0.1) if french else model  # Table 3's 0.3 is of en-de
    model, training = override(model, options.given), override(training, options.given)
    if model.vocab_size < SMALLEST:
        raise RangeError("vocab_size", f"is {SMALLEST} or more, not {model.vocab_size}")
    return model, training
