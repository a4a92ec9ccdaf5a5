"""annotated parse [--model FOLDER] [options]

Write the tree of each sentence of standard input: a sentence a line, with a space between any two
words and before punctuation, and for each a tree in Penn brackets. No parser comes with the
package: annotated train --data trees makes one. The last one that was trained is taken.
"""

from dataclasses import dataclass
from pathlib import Path

from annotated.cli.options import DeviceOptions, Folder, UserError, say
from annotated.cli.train import RUNS
from annotated.cli.translate import AT_ONCE, decoded, lines_of, standard
from annotated.cli.trees import is_parser, open_parser
from annotated.data.tokenizer import spaced
from annotated.evidence.parsing import ParsingConfig, tree_of
from annotated.folders import steps_in

ESCAPES = {"(": " -LRB- ", ")": " -RRB- "}  # words of their own, as treebanks write them


@dataclass(frozen=True, kw_only=True)
class Options(ParsingConfig, DeviceOptions):
    """What annotated parse is told."""

    # a run's folder, or one checkpoint's (default: the parser in runs/ that was trained last)
    model: Folder | None = None

    def search(self) -> ParsingConfig:
        """How to search."""
        return ParsingConfig(self.beam, self.alpha, self.extra, self.free)


def run(options: Options) -> None:
    """Write each line's tree when it is there; a blank line stays one."""
    folder = options.model or trained_last()
    source, target = standard("input"), standard("output")
    parser, search = open_parser(folder, options.find_device()), options.search()
    for lines in decoded(lines_of(source, AT_ONCE)):
        sentences = [words_of(text) for _, text in lines]
        symbols = iter(parser.symbols([words for words in sentences if words], search))
        for words in sentences:
            tree = str(tree_of(words, next(symbols))) if words else ""
            target.write(f"{tree}\n".encode())  # whatever the terminal's language is
        target.flush()


def trained_last() -> Path:
    """The parser's run in runs/ with the newest checkpoint. UserError where there is none."""
    runs = [folder for folder in RUNS.glob("*") if steps_in(folder) and is_parser(folder)]
    if not runs:
        train = "annotated train --data trees, then annotated parse"
        raise UserError(f"no parser comes with the package: train one with {train}")
    newest = max(runs, key=lambda folder: steps_in(folder)[-1].stat().st_mtime)
    say(f"the parser is {newest}")
    return newest


def words_of(line: str) -> list[str]:
    """The words of a line; a bracket is one of them."""
    for bracket, name in ESCAPES.items():
        line = line.replace(bracket, name)
    return spaced(line).split()
