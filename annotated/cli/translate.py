"""annotated translate: lines in, lines out. PyTorch is imported only where it decodes."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BufferedReader
from itertools import count
from pathlib import Path
from typing import Any

import pooch

from annotated.cli.options import UserError, override, tell
from annotated.data.tokenizer import Tokenizer
from annotated.fast.engine import Engine, exported, is_export
from annotated.training.folders import complete, readable
from annotated.translation.hypotheses import Hypothesis, SearchConfig, joined
from annotated.translation.sentences import Seen, divide

PRETRAINED = Path(__file__).parent.parent / "pretrained"  # the model that comes with the package
AT_ONCE = 512  # lines that are translated together
READ = 1 << 20  # bytes of standard input that are read together


# The model.


def model_folder(options: argparse.Namespace) -> Path:
    """The checkpoint or the export that is asked for, or the model that comes with the book."""
    if options.model is None and not PRETRAINED.exists():
        raise UserError(
            f"the model that comes with the package is missing, {PRETRAINED}: name another with "
            "--model, such as runs/toy-en-de after annotated train --data toy"
        )
    folder = options.model or PRETRAINED
    return folder if is_export(folder) else complete(folder)


def facts_of(place: Path) -> dict[str, Any]:
    """What a checkpoint's run.json says of the training: how, how far, how long, and its log."""
    if not (place / "run.json").is_file():
        raise UserError(f"{place} does not say how it was trained: run.json is missing")
    with readable(place):
        facts = json.loads((place / "run.json").read_text(encoding="utf-8"))
        return {name: facts[name] for name in ("training", "step", "seconds", "log")}


def seen_by(folder: Path, about: dict[str, Any]) -> Seen:
    """What training saw of sources; where that was not kept, what its limits let through."""
    if "longest_source" in about or not (folder / "run.json").is_file():
        return Seen.by(about)
    training = facts_of(folder)["training"]
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
        longest, language = self.seen.longest, self.seen.language
        parts = [divide(line, self.tokenizer, longest, language) for line in lines]
        found = iter(self.search([ids for each in parts for ids in each], n_best))
        return [joined(self.tokenizer, [next(found) for _ in each]) for each in parts]

    def translate(self, lines: Sequence[str]) -> list[str]:
        """The best translation of each line."""
        return [best for (best, _), *_ in self.candidates(lines, 1)]


def engine_of(options: argparse.Namespace) -> str:
    """The engine that is asked for; --int8 asks for the one that has it."""
    if options.int8 and options.engine == "annotated":
        raise UserError("--int8 is for --engine ctranslate2: leave one of the two out")
    return "ctranslate2" if options.int8 else options.engine or "annotated"


def open_translator(options: argparse.Namespace, search: SearchConfig) -> Translator:
    """The model that is asked for, with the engine that is asked for."""
    folder = model_folder(options)
    if engine_of(options) == "ctranslate2":
        found = by_ctranslate2(folder, options, search)
    elif is_export(folder):
        raise UserError(f"{folder} was written for CTranslate2: add --engine ctranslate2")
    else:
        from annotated.cli.evaluate import by_pytorch

        found = by_pytorch(folder, options, search)
    if found.seen.longest < 2:
        raise UserError(
            f"this model has {found.seen.longest + search.extra:,} positions, too few for --extra "
            f"{search.extra}: lower it"
        )
    if sys.stderr.isatty():
        about = found.about
        tell(f"the model is {folder}, trained on {about.get('data')} {about.get('pair')}")
    return found


def by_ctranslate2(folder: Path, options: argparse.Namespace, search: SearchConfig) -> Translator:
    """A checkpoint, by way of an export in the user's cache, or an export."""
    if options.device == "cuda":
        raise UserError("--engine ctranslate2 works on the CPU: leave --device out")
    place = folder
    if not is_export(folder):
        place = exported(folder, Path(pooch.os_cache("annotated")) / "exported")
    engine = Engine(place, options.int8)
    return translator_by(engine, search, seen_by(folder, engine.about))


def translator_by(engine: Engine, search: SearchConfig, seen: Seen) -> Translator:
    """An engine as a translator of what training has seen."""

    def find(encoded: list[list[int]], n_best: int) -> list[list[Hypothesis]]:
        return engine.search(encoded, n_best, search)

    seen = replace(seen, longest=engine.longest_source(search, seen))
    return Translator(engine.tokenizer, engine.about, seen, find)


# Lines.


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
                    tell(f"line {number} is not UTF-8: {what}")
            lines.append((number, text))
        yield lines
    if damaged > 1:
        tell(f"{damaged:,} lines in all are not UTF-8")


def run_translate(options: argparse.Namespace) -> None:
    """annotated translate"""
    search = override(SearchConfig(), options)
    n_best = 1 if options.n_best is None else options.n_best
    if not 1 <= n_best <= search.beam:
        raise UserError(f"--n-best {n_best}: a beam of {search.beam} finds 1 to {search.beam}")
    source = standard("input")
    standard("output")
    translator = open_translator(options, search)
    said = False
    for chunk in decoded(lines_of(source, AT_ONCE)):
        said = said or say_divided(chunk, translator.tokenizer, translator.seen)
        found = translator.candidates([text for _, text in chunk], n_best)
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
            tell(
                f"line {number} is translated in parts, as is any of more than one sentence or "
                f"{seen.longest} tokens: training saw no more at once"
            )
            return True
    return False


def write(line: str) -> None:
    """A line to standard output, in UTF-8 whatever the terminal's language is."""
    sys.stdout.buffer.write(f"{line}\n".encode())
