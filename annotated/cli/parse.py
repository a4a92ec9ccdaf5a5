"""annotated parse --model FOLDER [options]

Write the tree of each sentence of standard input: a sentence a line, with a space between any two
words and before punctuation, and for each a tree in Penn brackets. No parser comes with the
package: annotated train --data trees makes one.
"""

from dataclasses import dataclass

from annotated.cli.options import DeviceOptions, Folder, UserError
from annotated.cli.translate import AT_ONCE, decoded, lines_of, standard
from annotated.cli.trees import open_parser
from annotated.data.tokenizer import spaced
from annotated.evidence.parsing import ParsingConfig, tree_of

ESCAPES = {"(": " -LRB- ", ")": " -RRB- "}  # words of their own, as treebanks write them


@dataclass(frozen=True, kw_only=True)
class Options(ParsingConfig, DeviceOptions):
    """What annotated parse is told."""

    model: Folder | None = None  # a run's folder, or one checkpoint's

    def search(self) -> ParsingConfig:
        """How to search."""
        return ParsingConfig(self.beam, self.alpha, self.extra, self.free)


def run(options: Options) -> None:
    """Write each line's tree when it is there; a blank line stays one."""
    if options.model is None:
        train = "annotated train --data trees, then annotated parse --model runs/trees-en-trees"
        raise UserError(f"no parser comes with the package: train one with {train}")
    source, target = standard("input"), standard("output")
    parser, search = open_parser(options.model, options.find_device()), options.search()
    for lines in decoded(lines_of(source, AT_ONCE)):
        sentences = [words_of(text) for _, text in lines]
        symbols = iter(parser.symbols([words for words in sentences if words], search))
        for words in sentences:
            tree = str(tree_of(words, next(symbols))) if words else ""
            target.write(f"{tree}\n".encode())  # whatever the terminal's language is
        target.flush()


def words_of(line: str) -> list[str]:
    """The words of a line; a bracket is one of them."""
    for bracket, name in ESCAPES.items():
        line = line.replace(bracket, name)
    return spaced(line).split()
