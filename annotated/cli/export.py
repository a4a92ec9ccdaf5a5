"""annotated export --to ctranslate2 FOLDER [--model FOLDER] [--int8]

Write a model into a new folder for another engine. CTranslate2 is made for translating fast (6.1):
annotated translate reads it with --engine ctranslate2.
"""

from dataclasses import dataclass, field
from typing import Literal

from annotated.cli.options import POSITIONAL, Folder, say
from annotated.cli.translator import ModelOptions, seen_by
from annotated.fast.export import export
from annotated.training.checkpoints import load_checkpoint


@dataclass(frozen=True, kw_only=True)
class Options(ModelOptions):
    """What annotated export is told."""

    out: Folder = field(metadata=POSITIONAL)  # where it goes
    to: Literal["ctranslate2"]  # the engine
    int8: bool = False  # keep weights in 8 bits


def run(options: Options) -> None:
    """Export, with the longest source that training has seen."""
    folder = options.folder()
    model, tokenizer, about = load_checkpoint(folder)
    about["longest_source"] = seen_by(folder, about).longest
    export(options.out, model, tokenizer, about, options.int8)
    use = f"annotated translate --engine ctranslate2 --model {options.out}"
    say(f"the model is in {options.out}; {use}")
