"""What the commands do with a model that is there: average, translate, evaluate."""

import argparse
import json
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BufferedReader
from itertools import count
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from annotated.checkpoints import complete, load_checkpoint, readable, save_checkpoint, steps_in
from annotated.corpora import Corpus
from annotated.decoding import SearchConfig, candidates, longest_source, translate
from annotated.evaluation import Score, all_scores, average
from annotated.inference import prepare, quantize, threads_for
from annotated.material import UserError, device_of, override, say, sets_asked, sides
from annotated.record import all_of, commit, config_of, entry, made_by, write_record
from annotated.sentences import Seen, divide
from annotated.tokenizer import Tokenizer
from annotated.training import TrainingConfig
from annotated.transformer import Transformer

PRETRAINED = Path(__file__).parent / "pretrained"  # the model that comes with the package
AT_ONCE = 512  # lines that are translated together
READ = 1 << 20  # bytes of standard input that are read together


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
    save_checkpoint(options.out, model, tokenizer, about)
    (options.out / "run.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
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


def facts_of(place: Path) -> dict[str, Any]:
    """What a checkpoint's run.json says of the training: how, how far, how long, and its log."""
    if not (place / "run.json").is_file():
        raise UserError(f"{place} does not say how it was trained: run.json is missing")
    with readable(place):
        facts = json.loads((place / "run.json").read_text(encoding="utf-8"))
        return {name: facts[name] for name in ("training", "step", "seconds", "log")}


# The model.


def model_folder(options: argparse.Namespace) -> Path:
    """The folder of the checkpoint that is asked for, or of the model that comes with the book."""
    if options.model is None and not PRETRAINED.exists():
        raise UserError(
            f"the model that comes with the package is missing, {PRETRAINED}: name another with "
            "--model, such as runs/toy-en-de after annotated train --data toy"
        )
    return complete(options.model or PRETRAINED)


def open_model(
    options: argparse.Namespace, search: SearchConfig
) -> tuple[Transformer, Tokenizer, dict[str, Any], Seen]:
    """The model that is asked for, its tokenizer, what was kept of its run, what it can read."""
    folder = model_folder(options)
    device = "cpu" if options.int8 and options.device == "auto" else device_of(options)
    model, tokenizer, about = load_checkpoint(folder, device)
    seen = seen_by(folder, about)
    seen = replace(seen, longest=longest_source(model, search, seen))
    if seen.longest < 2:
        raise UserError(
            f"this model has {model.config.max_length} learned positions, too few for --extra "
            f"{search.extra}: lower it"
        )
    if sys.stderr.isatty():
        say(f"the model is {folder}, trained on {about.get('data')} {about.get('pair')}")
    return model, tokenizer, about, seen


def seen_by(folder: Path, about: dict[str, Any]) -> Seen:
    """What training saw of sources; where that was not kept, what its limits let through."""
    if "longest_source" in about or not (folder / "run.json").is_file():
        return Seen.by(about)
    training = facts_of(folder)["training"]
    return Seen.by(about, min(training["max_tokens"], training["batch_tokens"]))


def quickened(model: Transformer, options: argparse.Namespace) -> Transformer:
    """The model made ready for decoding; with weights of 8 bits where --int8 asks for them."""
    return quantize(model) if options.int8 else prepare(model)


# annotated translate


def lines_of(stream: BufferedReader, most: int) -> Iterator[list[bytes]]:
    """The lines of a stream as they come: `most` together, fewer where the next is not there yet.

    Only a newline ends a line, so that there is one for each line of any other program.
    """
    rest = b""
    while data := stream.read1(READ):  # what is there; it waits where nothing is
        *lines, rest = (rest + data).split(b"\n")
        for start in range(0, len(lines), most):
            yield lines[start : start + most]
    if rest:
        yield [rest]


def decoded(chunks: Iterable[list[bytes]]) -> Iterator[list[tuple[int, str]]]:
    """The lines with their numbers, from 1. Bytes that are no UTF-8 become U+FFFD; it is said."""
    damaged, numbers = 0, count(1)
    for chunk in chunks:
        lines = []
        for line, number in zip(chunk, numbers, strict=False):
            text = line.decode("utf-8", errors="replace")
            if "\ufffd" in text and text.encode() != line:
                damaged += 1
                if damaged == 1:
                    what = "U+FFFD takes the place of what cannot be read"
                    say(f"line {number} is not UTF-8: {what}")
            lines.append((number, text))
        yield lines
    if damaged > 1:
        say(f"{damaged:,} lines in all are not UTF-8")


def run_translate(options: argparse.Namespace) -> None:
    """annotated translate"""
    search = override(SearchConfig(), options)
    n_best = 1 if options.n_best is None else options.n_best
    if not 1 <= n_best <= search.beam:
        raise UserError(f"--n-best {n_best}: a beam of {search.beam} finds 1 to {search.beam}")
    source = standard("input")
    standard("output")
    model, tokenizer, _, seen = open_model(options, search)
    model = quickened(model, options)
    said = False
    for chunk in decoded(lines_of(source, AT_ONCE)):
        said = said or say_divided(chunk, tokenizer, seen)
        with threads_for(model, len(chunk) * search.beam):
            texts = [text for _, text in chunk]
            found = candidates(model, tokenizer, texts, n_best, search, seen=seen)
        for (number, _), best in zip(chunk, found, strict=True):
            for text, score in best:
                write(f"{number}\t{score:.4f}\t{text}" if options.n_best else text)
        sys.stdout.flush()


def standard(name: str) -> Any:
    """The stream of bytes of standard "input" or "output"; UserError where it is closed."""
    stream = {"input": sys.stdin, "output": sys.stdout}[name]
    if stream is None:
        raise UserError(f"standard {name} is closed: lead it from or to a file, or a program")
    return stream.buffer


def say_divided(lines: Sequence[tuple[int, str]], tokenizer: Tokenizer, seen: Seen) -> bool:
    """Tell of the first of these lines that is translated in parts; False where none is."""
    for number, text in lines:
        if len(divide(text, tokenizer, seen.longest, seen.language)) > 1:
            say(
                f"line {number} is translated in parts, as is any of more than one sentence or "
                f"{seen.longest} tokens: training saw no more at once"
            )
            return True
    return False


def write(line: str) -> None:
    """A line to standard output, in UTF-8 whatever the terminal's language is."""
    sys.stdout.buffer.write(f"{line}\n".encode())


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
            (folder / f"{self.name}.{name}.txt").write_text(text, encoding="utf-8")


def results(
    model: Transformer,
    tokenizer: Tokenizer,
    corpus: Corpus,
    names: Sequence[str],
    search: SearchConfig,
    lowercase: bool,
    seen: Seen,
) -> Iterator[Result]:
    """Translate and score these sets of a corpus, one after the other.

    lowercase: the model writes no capitals, so case does not count.
    """
    language = corpus.target if len(corpus.target) == 2 else "en"  # of Moses's tokenizer
    for name in names:
        sources, references = sides(corpus.splits[name])
        outputs = translate(model, tokenizer, sources, search, seen=seen)
        scores = all_scores(outputs, references, language, lowercase)
        yield Result(name, corpus.splits[name], outputs, scores)


def run_evaluate(options: argparse.Namespace) -> None:
    """annotated evaluate"""
    search = override(SearchConfig(), options)
    is_kept = bool(options.record or options.output)
    if not is_kept:
        standard("output")
    model, tokenizer, about, seen = open_model(options, search)
    corpus, names = sets_asked(options, about)
    facts = recordable(options, about) if options.record else {}
    config = config_of(model, facts.get("training", {}), search, options.int8)
    model = quickened(model, options)
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
    found = []
    unread: OSError | None = None
    lowercase = bool(about.get("lowercase"))
    for result in results(model, tokenizer, corpus, names, search, lowercase, seen):
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
        record(options, about, corpus, config, facts, found)
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


def record(
    options: argparse.Namespace,
    about: dict[str, Any],
    corpus: Corpus,
    config: dict[str, Any],
    facts: dict[str, Any],
    found: list[Result],
) -> None:
    """Write the record of a model with all commands that made it; `facts` are of its training."""
    commits = list(dict.fromkeys([*all_of(about, "commits"), commit()]))
    trained_on = all_of(about, "hardware")
    write_record(
        options.record,
        options.words,
        corpus,
        config,
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
