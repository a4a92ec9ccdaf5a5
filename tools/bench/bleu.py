"""BLEU of the model that ships, decoded by this package and CTranslate2, in float32 and 8 bits."""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sacrebleu import BLEU
from sacrebleu.significance import PairedTest

from annotated.cli.translator import PRETRAINED
from annotated.data.corpora import corpus_hashes, load
from annotated.fast.engine import Engine
from annotated.fast.export import export
from annotated.fast.inference import in_8_bits
from annotated.results import commit
from annotated.training.checkpoints import load_checkpoint
from annotated.translation.scores import moses_bleu, moses_tokenize, plain_punctuation
from annotated.translation.search import SearchConfig, translate
from annotated.translation.sentences import Seen
from tools.bench import report
from tools.bench.decode import search

BEAMS = (1, 4)
QUICK = 4  # captions
DRAWS = 1000  # of the captions, with putting back
LIKE_THE_MARK = SearchConfig(beam=5, alpha=1.4)

Translate = Callable[[Sequence[str]], list[str]]


def add_options(command: argparse.ArgumentParser) -> None:
    """Another model, to be told apart from the one that ships."""
    command.add_argument("--beside", type=Path, help="the folder of another model")


def decoders(config: SearchConfig, folder: Path) -> dict[str, Translate]:
    """What translates, by name; the export is in the folder."""
    model, tokenizer, _ = load_checkpoint(PRETRAINED)
    light = in_8_bits(model)
    engines = {kind: Engine(folder, kind == "int8") for kind in ("float32", "int8")}
    return {
        "annotated float32": lambda lines: translate(model, tokenizer, lines, config),
        "annotated int8": lambda lines: translate(light, tokenizer, lines, config),
    } | {
        f"CTranslate2 {kind}": engine.translator(config, Seen()).translate
        for kind, engine in engines.items()
    }


def run(options: argparse.Namespace) -> None:
    """python -m tools.bench bleu"""
    began, at_commit = time.perf_counter(), commit()
    corpus = load("multi30k", "en-de")
    pairs = corpus.splits["validation"][: QUICK if options.quick else None]
    table: list[dict[str, Any]] = []
    with TemporaryDirectory() as place:
        folder = Path(place) / "exported"
        export(folder, *load_checkpoint(PRETRAINED))
        for beam in BEAMS:
            table += rows(decoders(SearchConfig(beam), folder), search(beam), pairs)
    print(report.table("BLEU on Multi30k's validation set, in lower case, cut by Moses", table))
    scores: dict[str, Any] = {"table": table}
    if options.beside:
        scores["beside"] = told_apart([PRETRAINED, options.beside], pairs)
        print(report.table("the model that ships and another", scores["beside"]))
    if options.record:
        report.write(
            options.record,
            options.words,
            commit=at_commit,
            data=corpus_hashes(corpus),
            config={"captions": len(pairs), "beams": BEAMS, "alpha": SearchConfig.alpha},
            seconds=time.perf_counter() - began,
            curve=[{"beam": beam} for beam in BEAMS],
            scores=scores,
        )


def rows(
    decoders: dict[str, Translate], name: str, pairs: Sequence[tuple[str, str]]
) -> list[dict[str, Any]]:
    """The score of each decoder, its noise, and how many translations are those of the first."""
    sources, references = zip(*pairs, strict=True)
    written = {decoder: translate(sources) for decoder, translate in decoders.items()}
    first = next(iter(written.values()))
    noise = intervals(written, references)
    return [
        {
            "search": name,
            "decoder": decoder,
            "BLEU": moses_bleu(texts, references).value,
            "to each side": noise[decoder],
            "the same": sum(a == b for a, b in zip(texts, first, strict=True)),
            "captions": len(pairs),
        }
        for decoder, texts in written.items()
    ]


def told_apart(folders: Sequence[Path], pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """BLEU of two models by the search of the published mark, and of the second p.

    p: the probability of so large a difference by chance, captions drawn anew (Koehn, 2004).
    """
    sources, references = zip(*pairs, strict=True)
    written = {}
    for folder in folders:
        model, tokenizer, _ = load_checkpoint(folder)
        written[folder.name] = translate(model, tokenizer, sources, LIKE_THE_MARK)
    return [
        {"model": name, "BLEU": one.score, "p": one.p_value}
        for name, one in zip(written, drawn_anew(written, references), strict=True)
    ]


def intervals(written: dict[str, list[str]], references: Sequence[str]) -> dict[str, float]:
    """Half the interval of 95 of 100 BLEUs when the captions are drawn anew (Koehn, 2004)."""
    results = drawn_anew(written, references)
    return {name: one.ci for name, one in zip(written, results, strict=True)}


def drawn_anew(written: dict[str, list[str]], references: Sequence[str]) -> list[Any]:
    """sacreBLEU's paired bootstrap of each system's lines against those of the first."""

    def cut(lines: Sequence[str]) -> list[str]:
        return [moses_tokenize(plain_punctuation(line.lower())) for line in lines]

    systems: list[tuple[str, Sequence[str]]] = [(name, cut(x)) for name, x in written.items()]
    metrics = {"BLEU": BLEU(tokenize="none", force=True)}
    test = PairedTest(systems, metrics, [cut(references)], test_type="bs", n_samples=DRAWS)
    _, results = test()
    return list(results["BLEU"])
