"""What a model's translations score, and the record of it: how it was made and what came out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from shlex import join
from typing import Any

from annotated import results
from annotated.data.corpora import Corpus, corpus_hashes
from annotated.folders import training_facts
from annotated.models import described, size
from annotated.training.checkpoints import read_description
from annotated.translation.hypotheses import SearchConfig
from annotated.translation.scores import Score, all_scores


@dataclass(frozen=True)
class Result:
    """The translations of one test set, and their scores, from `all_scores`."""

    name: str
    pairs: Sequence[tuple[str, str]]
    outputs: list[str]
    scores: dict[str, Score]

    def entry(self) -> dict[str, Any]:
        """The scores as a record keeps them; BLEU is a number, with its signature beside it."""
        forms = {
            name: {key: x for key, x in asdict(score).items() if key != "metric" and x is not None}
            for name, score in self.scores.items()
        }
        bleu = forms.pop("bleu")
        return {"bleu": bleu["value"], "signature": bleu["signature"], **forms}


def scored(
    translate: Callable[[Sequence[str]], list[str]],
    corpus: Corpus,
    names: Sequence[str],
    lowercase: bool,
) -> Iterator[Result]:
    """Translate and score these sets of a corpus, one after the other.

    lowercase: the model writes no capitals, and case does not count.
    """
    for name in names:
        pairs = list(corpus.splits[name])
        sources, references = zip(*pairs, strict=True)
        outputs = translate(sources)
        scores = all_scores(outputs, references, corpus.target, lowercase, corpus.name)
        yield Result(name, pairs, outputs, scores)


def history(about: Mapping[str, Any], *names: str) -> list[Any]:
    """What a model's checkpoint keeps under these names, after that of the one it began from."""
    before = history(about["init"], *names) if "init" in about else []
    return [*before, *(about[name] for name in names if name in about)]


def record(
    path: Path,
    words: Sequence[str] | None,
    at_commit: str,
    corpus: Corpus,
    place: Path,
    found: Sequence[Result],
    search: SearchConfig,
    engine: str = "annotated",
    int8: bool = False,
) -> None:
    """Write results/NAME.json: what was run, on what, on which data, and what came out.

    words: of the command, without the program's name, where it is not the training's; place: the
    checkpoint, which says how it was trained, how far, how long and with which log; search, engine
    and int8: how it translates.
    """
    (config, about), facts = read_description(place / "model.json"), training_facts(place)
    made = history(about, "words", "averaging")
    commands = [["annotated", *each] for each in [*made, *([words] if words else [])]]
    several = {
        "commands": [join(each) for each in commands],
        "commits": [*dict.fromkeys([*chain(*history(about, "commits")), at_commit])],
        "trained_on": [*dict.fromkeys(chain(*history(about, "hardware")))],
        "averaged": about.get("averaged"),
        "examples": [
            {"source": source, "reference": reference, "output": output}
            for one in found[:1]
            for (source, reference), output in zip(one.pairs[:10], one.outputs, strict=False)
        ],
    }
    results.save(
        path,
        commands[-1],
        commit=at_commit,
        data=corpus_hashes(corpus),
        config={
            "model": described(config) | {"parameters": size(config)},
            "training": facts["training"],
            "decoding": asdict(search) | {"engine": engine, "int8": int8},
        },
        step=facts["step"],
        seconds=facts["seconds"],
        curve=facts["log"],
        scores={result.name: result.entry() for result in found},
        **{name: value for name, value in several.items() if value},
    )
