"""annotated evaluate [--model FOLDER] [--split NAME] [options]

Translate a test set and print its scores. Each has a signature that says how it was counted: BLEU
and chrF by sacreBLEU, and for multi30k and wmt14 BLEU as papers on them give it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from annotated.cli.corpus import CorpusOptions, sets_asked
from annotated.cli.options import File, Folder, UserError
from annotated.cli.record import Result, commit, record
from annotated.cli.translate import standard
from annotated.cli.translator import SearchOptions, Translator, open_translator, training_facts
from annotated.data.corpora import Corpus
from annotated.files import make, write
from annotated.training.checkpoints import load_checkpoint
from annotated.translation.scores import all_scores


@dataclass(frozen=True, kw_only=True)
class Options(SearchOptions, CorpusOptions):
    """What annotated evaluate is told; without a corpus it is what the model was trained on."""

    split: str | None = None  # the set to score, or all test sets: all (default: the first)
    # write the translations to NAME.hypotheses.txt in FOLDER, and NAME.references.txt
    output: Folder | None = None
    record: File | None = None  # write all that is known of the model to FILE


def run(options: Options) -> None:
    """Score each set that is asked for; what is kept in files is, though nobody reads the rest."""
    is_kept, at_commit = bool(options.record or options.output), commit()
    if not is_kept:
        standard("output")
    translator = open_translator(options)
    corpus, names = sets_asked(options, options.split, translator.about)
    facts = recordable(options, translator.about) if options.record else {}
    if options.output:
        make(options.output)
    found = []
    unread: OSError | None = None
    for result in scored(translator, corpus, names):
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
        model, words, about = load_checkpoint(options.folder())[0], options.words, translator.about
        decoding = asdict(options.search()) | {"engine": options.decoder(), "int8": options.int8}
        record(options.record, words, at_commit, corpus, model, about, facts, found, decoding)
    if unread:
        raise unread


def scored(translator: Translator, corpus: Corpus, names: Sequence[str]) -> Iterator[Result]:
    """Translate and score these sets of a corpus, one after the other.

    Where the model writes no capitals, case does not count.
    """
    lowercase = bool(translator.about.get("lowercase"))
    for name in names:
        pairs = list(corpus.splits[name])
        outputs = translator.translate([source for source, _ in pairs])
        references = [target for _, target in pairs]
        scores = all_scores(outputs, references, corpus.target, lowercase, corpus.name)
        yield Result(name, pairs, outputs, scores)


def recordable(options: Options, about: dict[str, Any]) -> dict[str, Any]:
    """What a record says of the training; UserError where there can be no record."""
    if "words" not in about:
        raise UserError("--record is of models that annotated train has made, and not of this one")
    if options.data or options.pair or options.source:
        of = "--record is of a model and the data that it was trained on"
        raise UserError(f"{of}: leave out what names other")
    return training_facts(options.folder())
