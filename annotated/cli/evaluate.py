"""annotated evaluate [--model FOLDER] [--split NAME] [options]

Translate a test set and print its scores. Each has a signature that says how it was counted: BLEU
and chrF by sacreBLEU, and for multi30k and wmt14 BLEU as papers on them give it. With a parser it
is F1, and the search as annotated parse has it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from annotated.cli.corpus import CorpusOptions, sets_asked
from annotated.cli.options import File, Folder, UserError, override
from annotated.cli.record import Result, record, scored
from annotated.cli.translate import standard
from annotated.cli.translator import SearchOptions, open_translator
from annotated.cli.trees import are_trees, is_parser, open_parser, parsed
from annotated.data.corpora import Corpus
from annotated.evidence.parsing import ParsingConfig
from annotated.files import make, write
from annotated.folders import training_facts
from annotated.results import commit
from annotated.translation.hypotheses import SearchConfig

Scorer = Callable[[Corpus, list[str]], Iterator[Result]]  # sets of a corpus -> their scores


@dataclass(frozen=True, kw_only=True)
class Options(SearchOptions, CorpusOptions):
    """What annotated evaluate is told; without a corpus it is what the model was trained on."""

    split: str | None = None  # the set to score, or all test sets: all (default: the first)
    # write the translations to NAME.hypotheses.txt in FOLDER, and NAME.references.txt
    output: Folder | None = None
    record: File | None = None  # write all that is known of the model to FILE
    free: bool = False  # let a parser write anything, and mend what is no tree (Section 6.3)


def run(options: Options) -> None:
    """Score each set that is asked for; what is kept in files is, though nobody reads the rest."""
    is_kept, at_commit = bool(options.record or options.output), commit()
    if not is_kept:
        standard("output")
    scorer, about, search = scorer_of(options)
    corpus, names = sets_asked(options, options.split, about)
    if are_trees(corpus) != isinstance(search, ParsingConfig):
        raise UserError("trees are for a parser, and a parser for trees: name data that fits")
    if options.record:
        check_recordable(options, about)
    if options.output:
        make(options.output)
    found = []
    unread: OSError | None = None
    for result in scorer(corpus, names):
        found.append(result)
        if options.output:
            references = [target for _, target in result.pairs]
            for kind, lines in ("hypotheses", result.outputs), ("references", references):
                text = "".join(line + "\n" for line in lines)
                write(options.output / f"{result.name}.{kind}.txt", text)
        try:
            for score in result.scores.values():
                print(f"{corpus.name} {result.name}: {score}", flush=True)
        except OSError as error:  # the reader has gone, say
            if not is_kept:
                raise
            unread = error
    if options.record:
        place, words, how = options.folder(), options.words, (options.decoder(), options.int8)
        record(options.record, words, at_commit, corpus, place, found, search, *how)
    if unread:
        raise unread


def scorer_of(options: Options) -> tuple[Scorer, dict[str, Any], SearchConfig]:
    """What scores the model that is asked for, what was kept of its run, and how it searches."""
    if is_parser(options.folder()):
        if options.decoder() != "annotated":
            raise UserError("CTranslate2 does not parse: leave --engine and --int8 out")
        parser = open_parser(options.folder(), options.find_device())
        search = override(ParsingConfig(), options.given)
        return partial(parsed, parser, config=search), parser.about, search
    if options.free:
        raise UserError("--free is of a parser, and this model translates: leave it out")
    translator, about = open_translator(options)
    lowercase = bool(about.get("lowercase"))
    scorer = partial(scored, translator.translate, lowercase=lowercase)
    return scorer, about, options.search()


def check_recordable(options: Options, about: dict[str, Any]) -> None:
    """UserError where there can be no record."""
    if "words" not in about:
        raise UserError("--record is of models that annotated train has made, and not of this one")
    if options.data or options.pair or options.files():
        of = "--record is of a model and the data that it was trained on"
        raise UserError(f"{of}: leave out what names other")
    training_facts(options.folder())  # or it is said that there are none
