"""The model that is asked for, as what translates lines: by CTranslate2 without PyTorch."""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pooch

from annotated.cli.options import BaseOptions, DeviceOptions, Folder, UserError, say
from annotated.data.tokenizer import Tokenizer
from annotated.fast.engine import TOKENS, Engine, exported, is_export
from annotated.training.folders import complete, readable
from annotated.translation.hypotheses import Hypothesis, SearchConfig, joined
from annotated.translation.sentences import Seen, divide

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


def training_facts(place: Path) -> dict[str, Any]:
    """What a checkpoint's run.json says of the training: how, how far, how long, and its log."""
    if not (place / "run.json").is_file():
        raise UserError(f"{place} does not say how it was trained: run.json is missing")
    with readable(place):
        facts = json.loads((place / "run.json").read_text(encoding="utf-8"))
        return {name: facts[name] for name in ("training", "step", "seconds", "log")}


def seen_by(place: Path, about: dict[str, Any]) -> Seen:
    """What training saw of sources; where that was not kept, what its limits let through."""
    if "longest_source" in about or not (place / "run.json").is_file():
        return Seen.by(about)
    training = training_facts(place)["training"]
    return Seen.by(about, min(training["max_tokens"], training["batch_tokens"]))


@dataclass(frozen=True)
class Translator:
    """A model with what it takes to translate, whichever engine searches."""

    tokenizer: Tokenizer
    about: dict[str, Any]  # what was kept of the model's run
    seen: Seen  # by training, and no more than there is room for
    search: Callable[[list[list[int]], int], list[list[Hypothesis]]]  # ids, n -> the n best of each

    def candidates(self, lines: Sequence[str], n_best: int) -> list[list[tuple[str, float]]]:
        """The `n_best` best translations of each line and their scores, best first."""
        parts = [divide(x, self.tokenizer, self.seen.longest, self.seen.language) for x in lines]
        found = iter(self.search([ids for each in parts for ids in each], n_best))
        return [joined(self.tokenizer, [next(found) for _ in each]) for each in parts]

    def translate(self, lines: Sequence[str]) -> list[str]:
        """The best translation of each line."""
        return [best for (best, _), *_ in self.candidates(lines, 1)]


def by_ctranslate2(engine: Engine, search: SearchConfig, seen: Seen) -> Translator:
    """An engine as a translator of what training has seen."""

    def find(encoded: list[list[int]], n_best: int) -> list[list[Hypothesis]]:
        return engine.search(encoded, n_best, search)

    seen = replace(seen, longest=engine.longest_source(search, seen))
    return Translator(engine.tokenizer, engine.about, seen, find)


def by_pytorch(
    loaded: tuple[Any, Tokenizer, dict[str, Any]],
    search: SearchConfig,
    seen: Seen,
    measured: bool = False,
) -> Translator:
    """A model, as `load_checkpoint` gives it, as a translator of what training has seen.

    measured: with matrix products chosen for speed, which may round otherwise another time.
    """
    from annotated.fast.inference import matmul_precision_for, threads_for
    from annotated.translation.search import longest_source, search_all

    model, tokenizer, about = loaded

    def find(encoded: list[list[int]], n_best: int) -> list[list[Hypothesis]]:
        rows = len(encoded) * search.beam
        fast = measured and rows  # blank lines alone have none
        with threads_for(model, rows), matmul_precision_for(model, rows) if fast else nullcontext():
            return search_all(model, encoded, n_best, search, TOKENS)

    seen = replace(seen, longest=longest_source(model, search, seen))
    return Translator(tokenizer, about, seen, find)


def open_translator(options: SearchOptions, measured: bool = False) -> Translator:
    """The model that is asked for, with the engine that is asked for.

    A checkpoint goes to CTranslate2 by way of an export in the user's cache.
    """
    folder, search = options.folder(), options.search()
    if options.decoder() == "ctranslate2":
        if options.device == "cuda":
            raise UserError("--engine ctranslate2 works on the CPU: leave --device out")
        cache = Path(pooch.os_cache("annotated")) / "exported"
        engine = Engine(folder if is_export(folder) else exported(folder, cache), options.int8)
        found = by_ctranslate2(engine, search, seen_by(folder, engine.about))
    elif is_export(folder):
        raise UserError(f"{folder} was written for CTranslate2: add --engine ctranslate2")
    else:
        from annotated.training.checkpoints import load_checkpoint

        loaded = load_checkpoint(folder, options.find_device())
        found = by_pytorch(loaded, search, seen_by(folder, loaded[2]), measured)
    if found.seen.longest < 2:
        few = f"{found.seen.longest + search.extra:,} positions, too few"
        raise UserError(f"this model has {few} for --extra {search.extra}: lower it")
    if sys.stderr.isatty():
        about = found.about
        say(f"the model is {folder}, trained on {about.get('data')} {about.get('pair')}")
    return found
