"""The model that is asked for, as what translates lines: by CTranslate2 without PyTorch."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pooch

from annotated.cli.options import BaseOptions, DeviceOptions, Folder, UserError, say
from annotated.data.tokenizer import Tokenizer
from annotated.fast.engine import Engine, exported, is_export
from annotated.folders import complete, training_facts
from annotated.translation.hypotheses import SearchConfig, Translator
from annotated.translation.sentences import Seen

PRETRAINED = Path(__file__).parent.parent / "pretrained"  # the model that comes with the package


@dataclass(frozen=True, kw_only=True)
class ModelOptions(BaseOptions):
    """A model by its folder."""

    # a run's folder, or one checkpoint's (default: the model that comes with the package)
    model: Folder | None = None

    def folder(self) -> Path:
        """The checkpoint or the export that is asked for."""
        if self.model is None and not PRETRAINED.exists():
            missing = f"the model that comes with the package is missing, {PRETRAINED}"
            raise UserError(f"{missing}: name another with --model, such as runs/toy-en-de")
        folder = self.model or PRETRAINED
        return folder if is_export(folder) else complete(folder)


@dataclass(frozen=True, kw_only=True)
class SearchOptions(SearchConfig, ModelOptions, DeviceOptions):
    """How a model translates, and who searches."""

    # who searches: this package, or CTranslate2, faster, on the CPU (Section 6.1)
    engine: Literal["annotated", "ctranslate2"] | None = None
    int8: bool = False  # weights of 8 bits, with CTranslate2 (Section 6.1)

    def search(self) -> SearchConfig:
        """How to search."""
        return SearchConfig(self.beam, self.alpha, self.extra)

    def decoder(self) -> str:
        """The engine that is asked for; --int8 asks for the one that has it."""
        if self.int8 and self.engine == "annotated":
            raise UserError("--int8 is for --engine ctranslate2: leave one of the two out")
        return "ctranslate2" if self.int8 else self.engine or "annotated"


def seen_by(place: Path, about: dict[str, Any]) -> Seen:
    """What training saw of sources; where that was not kept, what its limits let through."""
    if "longest_source" in about or not (place / "run.json").is_file():
        return Seen.by(about)
    training = training_facts(place)["training"]
    return Seen.by(about, min(training["max_tokens"], training["batch_tokens"]))


def load(place: Path, device: Any = "cpu") -> tuple[Any, Tokenizer, dict[str, Any]]:
    """`load_checkpoint`, which needs PyTorch."""
    from annotated.training.checkpoints import load_checkpoint

    return load_checkpoint(place, device)


def by_engine(folder: Path, options: SearchOptions) -> tuple[Translator, dict[str, Any]]:
    """CTranslate2 with an export, that of a checkpoint by way of the user's cache."""
    if options.device == "cuda":
        raise UserError("--engine ctranslate2 works on the CPU: leave --device out")
    cache = Path(pooch.os_cache("annotated")) / "exported"
    engine = Engine(folder if is_export(folder) else exported(folder, cache, load), options.int8)
    return engine.translator(options.search(), seen_by(folder, engine.about)), engine.about


def by_pytorch(
    folder: Path, options: SearchOptions, measured: bool
) -> tuple[Translator, dict[str, Any]]:
    """A checkpoint with our own search."""
    from annotated.fast.inference import tuned
    from annotated.translation.search import translator

    if is_export(folder):
        raise UserError(f"{folder} was written for CTranslate2: add --engine ctranslate2")
    model, tokenizer, about = load(folder, options.find_device())
    if about.get("pair", "").endswith("-trees"):
        raise UserError(f"{folder} parses and does not translate: ask annotated parse")
    ours = translator(model, tokenizer, options.search(), seen=seen_by(folder, about))
    return tuned(ours, model, options.beam, measured), about


def open_translator(
    options: SearchOptions, measured: bool = False
) -> tuple[Translator, dict[str, Any]]:
    """The model that is asked for, with the engine that is asked for; what was kept of its run.

    measured: with matrix products chosen for speed, which may round otherwise another time.
    """
    folder, by_ctranslate2 = options.folder(), options.decoder() == "ctranslate2"
    found, about = (
        by_engine(folder, options) if by_ctranslate2 else by_pytorch(folder, options, measured)
    )
    if found.seen.longest < 2:
        few = f"{found.seen.longest + options.extra:,} positions, too few"
        raise UserError(f"this model has {few} for --extra {options.extra}: lower it")
    if sys.stderr.isatty():
        say(f"the model is {folder}, trained on {about.get('data')} {about.get('pair')}")
    return found, about
