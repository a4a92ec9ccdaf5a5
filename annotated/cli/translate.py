"""annotated translate [--model FOLDER] [options]

Translate standard input, a line for each line. A line of several sentences, or of more tokens than
training saw, is translated in parts.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from itertools import count
from typing import Any

from annotated.cli.options import UserError, say
from annotated.cli.translator import SearchOptions, open_translator
from annotated.translation.hypotheses import Translator

AT_ONCE = 512  # lines that are translated together
READ = 1 << 20  # bytes of standard input that are read together


@dataclass(frozen=True, kw_only=True)
class Options(SearchOptions):
    """What annotated translate is told."""

    # write the N best of each line, as: line number, tab, score, tab, text
    n_best: int | None = None


def run(options: Options) -> None:
    """Write each line's translation when it is there."""
    n_best = 1 if options.n_best is None else options.n_best
    if not 1 <= n_best <= options.beam:
        raise UserError(f"--n-best {n_best}: a beam of {options.beam} finds 1 to {options.beam}")
    source, target = standard("input"), standard("output")
    translator, _ = open_translator(options, measured=True)
    said = False
    for lines in decoded(lines_of(source, AT_ONCE)):
        said = said or say_divided(lines, translator)
        found = translator.candidates([text for _, text in lines], n_best)
        for (number, _), best in zip(lines, found, strict=True):
            for text, score in best:
                line = f"{number}\t{score:.4f}\t{text}" if options.n_best else text
                target.write(f"{line}\n".encode())  # whatever the terminal's language is
        target.flush()


def standard(name: str) -> Any:
    """The stream of bytes of standard "input" or "output"; UserError where it is closed."""
    stream = {"input": sys.stdin, "output": sys.stdout}[name]
    if stream is None:
        raise UserError(f"standard {name} is closed: lead it from or to a file, or a program")
    return stream.buffer


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


def say_divided(lines: Sequence[tuple[int, str]], translator: Translator) -> bool:
    """Tell of the first of these lines that is translated in parts; False where none is."""
    number = next((number for number, text in lines if len(translator.divide(text)) > 1), None)
    if number:
        say(
            f"line {number} is translated in parts, as is any of more than one sentence or "
            f"{translator.seen.longest} tokens: training saw no more at once"
        )
    return bool(number)
