"""What the commands do with a model that is there: average, translate, evaluate."""

import argparse
import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from annotated.cli.inputs import device_of, say, sets_asked, sides
from annotated.cli.options import UserError, override
from annotated.cli.record import all_of, commit, config_of, entry, made_by, write_record
from annotated.cli.translate import (
    Translator,
    engine_of,
    facts_of,
    model_folder,
    open_translator,
    seen_by,
    standard,
)
from annotated.data.corpora import Corpus
from annotated.data.tokenizer import Tokenizer
from annotated.fast.engine import TOKENS
from annotated.fast.export import export
from annotated.fast.inference import matmul_precision_for, threads_for
from annotated.files import write as write_file
from annotated.model.transformer import Transformer
from annotated.training.checkpoints import load_checkpoint, write_model
from annotated.training.folders import all_or_nothing, readable, steps_in
from annotated.training.loop import TrainingConfig
from annotated.translation.hypotheses import Hypothesis, SearchConfig
from annotated.translation.scores import Score, all_scores, average
from annotated.translation.search import longest_source, search_all
from annotated.translation.sentences import Seen

# annotated average


def run_average(options: argparse.Namespace) -> None:
    """annotated average"""
    places = to_average(options.folder, options.last)
    if options.out.exists():
        raise UserError(f"--out {options.out} exists already: name a new folder")
    model, tokenizer, about = load_checkpoint(places[-1])
    facts = facts_of(places[-1])
    model.load_state_dict(average(weights(place) for place in places))
    if options.half:
        model.half()
        if not all(weight.isfinite().all() for weight in model.parameters()):
            raise UserError("some weights are too large for float16: leave --half out")
    about["averaged"] = [int(place.name.removeprefix("step-")) for place in places]
    about["averaging"] = options.words
    with all_or_nothing(options.out) as part:
        write_model(part, model, tokenizer, about)
        write_file(part / "run.json", json.dumps(facts, indent=1))
    steps = f"steps {about['averaged'][0]:,} to {about['averaged'][-1]:,}"
    say(f"the mean of {len(places)} checkpoints, {steps}, is in {options.out}")


def to_average(folder: Path, last: int | None) -> list[Path]:
    """The last checkpoints of a run, as many as it was told to average where `last` is None."""
    if last is not None and last < 1:
        raise UserError(f"--last is a whole number from 1, not {last}")
    places = steps_in(folder)
    if not places:
        raise UserError(f"{folder} holds no checkpoints of a run: name a folder such as runs/mine")
    if last is None:
        last = TrainingConfig(**facts_of(places[-1])["training"]).average
    if len(places) < last:
        raise UserError(
            f"{folder} has {len(places)} checkpoints, not {last}: train with --keep {last} or give "
            f"--last {len(places)}"
        )
    return places[-last:]


def weights(place: Path) -> dict[str, Tensor]:
    """The weights of one checkpoint."""
    with readable(place):
        return load_file(place / "model.safetensors")


# annotated export


def run_export(options: argparse.Namespace) -> None:
    """annotated export"""
    folder = model_folder(options)
    model, tokenizer, about = load_checkpoint(folder)
    about["longest_source"] = seen_by(folder, about).longest
    export(options.out, model, tokenizer, about, options.int8)
    say(
        f"the model is in {options.out}; "
        f"annotated translate --engine ctranslate2 --model {options.out}"
    )


# The model, searched by PyTorch.


def by_pytorch(folder: Path, options: argparse.Namespace, search: SearchConfig) -> Translator:
    """The model of a checkpoint, on the device that is asked for."""
    model, tokenizer, about = load_checkpoint(folder, device_of(options))
    seen, measured = seen_by(folder, about), options.command == "translate"
    return translator_of(model, tokenizer, search, about, seen, measured)


def translator_of(
    model: Transformer,
    tokenizer: Tokenizer,
    search: SearchConfig,
    about: dict[str, Any],
    seen: Seen,
    measured: bool = False,
) -> Translator:
    """A model as a translator of what training has seen.

    measured: with products chosen for speed, which may round otherwise another time.
    """

    def find(encoded: list[list[int]], n_best: int) -> list[list[Hypothesis]]:
        if not encoded:  # blank lines alone
            return []
        rows = len(encoded) * search.beam
        products = matmul_precision_for(model, rows) if measured else nullcontext()
        with threads_for(model, rows), products:
            return search_all(model, encoded, n_best, search, TOKENS)

    seen = replace(seen, longest=longest_source(model, search, seen))
    return Translator(tokenizer, about, seen, find)


# annotated evaluate


@dataclass(frozen=True)
class Result:
    """The translations of one test set, and their scores."""

    name: str
    pairs: Sequence[tuple[str, str]]
    outputs: list[str]
    scores: dict[str, Score]

    def examples(self, count: int = 10) -> list[dict[str, str]]:
        """The first few, for a record."""
        triples = zip(self.pairs[:count], self.outputs, strict=False)
        return [{"source": s, "reference": r, "output": o} for (s, r), o in triples]

    def save(self, folder: Path) -> None:
        """Write the translations and what they were compared with, a line for each."""
        for name, lines in (("hypotheses", self.outputs), ("references", sides(self.pairs)[1])):
            text = "".join(line + "\n" for line in lines)
            write_file(folder / f"{self.name}.{name}.txt", text)


def results(translator: Translator, corpus: Corpus, names: Sequence[str]) -> Iterator[Result]:
    """Translate and score these sets of a corpus, one after the other.

    Where the model writes no capitals, case does not count.
    """
    lowercase = bool(translator.about.get("lowercase"))
    for name in names:
        sources, references = sides(corpus.splits[name])
        outputs = translator.translate(sources)
        scores = all_scores(outputs, references, corpus.target, lowercase, corpus.name)
        yield Result(name, corpus.splits[name], outputs, scores)


def run_evaluate(options: argparse.Namespace) -> None:
    """annotated evaluate"""
    search = override(SearchConfig(), options)
    is_kept = bool(options.record or options.output)
    if not is_kept:
        standard("output")
    translator = open_translator(options, search)
    about = translator.about
    corpus, names = sets_asked(options, about)
    facts = recordable(options, about) if options.record else {}
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
    found = []
    unread: OSError | None = None
    for result in results(translator, corpus, names):
        if options.output:
            result.save(options.output)
        found.append(result)
        try:
            for score in result.scores.values():
                print(f"{corpus.name} {result.name}: {score}", flush=True)
        except OSError as error:  # the reader has gone, say: what is kept in files goes on
            if not is_kept:
                raise
            unread = error
    if options.record:
        record_scores(options, about, corpus, search, facts, found)
    if unread:
        raise unread


def recordable(options: argparse.Namespace, about: dict[str, Any]) -> dict[str, Any]:
    """What a record says of the training; UserError where there can be no record."""
    if "words" not in about:
        raise UserError("--record is of models that annotated train has made, and not of this one")
    if options.data or options.pair or options.source:
        raise UserError(
            "--record is of a model and the data that it was trained on: leave out what names other"
        )
    return facts_of(model_folder(options))


def record_scores(
    options: argparse.Namespace,
    about: dict[str, Any],
    corpus: Corpus,
    search: SearchConfig,
    facts: dict[str, Any],
    found: list[Result],
) -> None:
    """Write the record of a model with all commands that made it; `facts` are of its training."""
    model = load_checkpoint(model_folder(options))[0]
    engine = engine_of(options)
    commits = list(dict.fromkeys([*all_of(about, "commits"), commit()]))
    trained_on = all_of(about, "hardware")
    write_record(
        options.record,
        options.words,
        corpus,
        config_of(model, facts["training"], search, engine, options.int8),
        facts["seconds"],
        facts["log"],
        {result.name: entry(result.scores) for result in found},
        examples=found[0].examples(),
        commands=[shlex.join(["annotated", *each]) for each in [*made_by(about), options.words]],
        step=facts["step"],
        **({"trained_on": trained_on} if trained_on else {}),
        **({"averaged": about["averaged"]} if "averaged" in about else {}),
        **({"commits": commits} if len(commits) > 1 else {}),
    )
