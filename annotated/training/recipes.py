"""The sizes and the training of a run: what suits its corpus on two cores, or the paper's."""

from dataclasses import replace

from annotated.model.transformer import PRESETS, TransformerConfig
from annotated.training.loop import TrainingConfig

PAPERS = {  # a preset's training, with checkpoints ten minutes apart on the paper's GPUs
    "base": TrainingConfig(steps=100_000, validate_every=1500, average=5),
    "big": TrainingConfig(steps=300_000, validate_every=600, average=20),
}
MEDIUM = TransformerConfig(8000, layers=3, d_model=256, d_ff=1024, heads=4)
RECIPES = {  # of each corpus that has a name, and of text files
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
    "trees": (
        TransformerConfig(2000, 4, 64, 128, heads=4, dropout=0.0, norm_first=True),
        TrainingConfig(
            512, steps=4000, warmup=100, scale=0.7, smoothing=0.0, log_every=50, validate_every=500
        ),
    ),
    "craft": (
        TransformerConfig(6000, 4, 192, 768, heads=4, dropout=0.2, norm_first=True),
        TrainingConfig(2048, steps=25_000, warmup=1000, scale=0.7, validate_every=1000),
    ),
}
PARSERS = "trees", "craft"


def recipe(
    corpus: str, pair: str | None = None, preset: str | None = None
) -> tuple[TransformerConfig, TrainingConfig]:
    """What suits a corpus of this name, "files" for text files; with a preset, the paper's."""
    (model, training), french = RECIPES[corpus], pair == "en-fr"
    if corpus == "wmt14" and french:
        model = replace(model, vocab_size=32_000)  # the paper's are word pieces, ours are BPE
    if preset:
        model, training = replace(PRESETS[preset], vocab_size=model.vocab_size), PAPERS[preset]
        model = replace(model, layers=4) if corpus in PARSERS else model  # Section 6.3
        model = replace(model, dropout=0.1) if french else model  # Table 3's 0.3 is of en-de
    return model, training
