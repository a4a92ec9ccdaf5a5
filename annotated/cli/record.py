"""Recorded runs: what was run, on what, on which data, and what came out, as one JSON file."""

import hashlib
import importlib.metadata
import json
import platform
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from annotated.data.corpora import Corpus
from annotated.files import make, write
from annotated.model.transformer import Transformer
from annotated.training.checkpoints import count_parameters
from annotated.translation.scores import Score


def hardware() -> str:
    """The processor, how many threads PyTorch uses of it, and the GPU where there is one."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        name = named[0].split(":", 1)[1].strip() if named else name
    text = f"{name}, {torch.get_num_threads()} threads"
    return f"{text}, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else text


def software() -> dict[str, str]:
    """The versions of Python and of the libraries that a score depends on."""
    names = ["torch", "tokenizers", "safetensors", "sacrebleu", "numpy"]
    versions = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version(), **versions}


def commit() -> str:
    """The commit of the checkout that the package runs from, with a + where it has changes."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def pair_of(corpus: Corpus) -> str:
    """The languages of a corpus, such as en-de."""
    return f"{corpus.source}-{corpus.target}"


def corpus_hashes(corpus: Corpus) -> dict[str, Any]:
    """The corpus by name, with the number of pairs and the SHA-256 of the text of each split."""
    splits = {}
    for name, pairs in corpus.splits.items():
        digest, number = hashlib.sha256(), 0
        for source, target in pairs:  # a stream has no length
            digest.update(f"{source}\t{target}\n".encode())
            number += 1
        splits[name] = {"pairs": number, "sha256": digest.hexdigest()}
    return {"name": corpus.name, "pair": pair_of(corpus), "splits": splits}


def held_out_sums(corpus: Corpus) -> dict[str, Any]:
    """What tells a corpus from another: the pairs and the SHA-256 of all parts that are lists."""
    lists = {name: pairs for name, pairs in corpus.splits.items() if isinstance(pairs, list)}
    return corpus_hashes(replace(corpus, splits=lists))["splits"]


@dataclass(frozen=True)
class Result:
    """The translations of one test set, and their scores, from `all_scores`."""

    name: str
    pairs: Sequence[tuple[str, str]]
    outputs: list[str]
    scores: dict[str, Score]

    def examples(self, count: int = 10) -> list[dict[str, str]]:
        """The first few translations, as a record keeps them."""
        triples = zip(self.pairs[:count], self.outputs, strict=False)
        return [{"source": s, "reference": r, "output": o} for (s, r), o in triples]

    def entry(self) -> dict[str, Any]:
        """The scores as a record keeps them; BLEU is a number, with its signature beside it."""
        forms = {name: asdict(score) for name, score in self.scores.items()}
        for form in forms.values():
            del form["metric"]
            if form["words"] is None:
                del form["words"]
        bleu = forms.pop("bleu")
        return {"bleu": bleu["value"], "signature": bleu["signature"], **forms}


def history(about: Mapping[str, Any], *names: str) -> list[Any]:
    """What a model's checkpoint keeps under these names, after that of the one it began from."""
    before = history(about["init"], *names) if "init" in about else []
    return [*before, *(about[name] for name in names if name in about)]


def record(
    path: Path,
    words: Sequence[str],
    at_commit: str,
    corpus: Corpus,
    model: Transformer,
    about: Mapping[str, Any],
    facts: Mapping[str, Any],
    results: Sequence[Result],
    decoding: Mapping[str, Any],
) -> None:
    """Write results/NAME.json: what was run, on what, on which data, and what came out.

    words: of the command, without the program's name; about: what the model's checkpoint keeps;
    facts: how it was trained, how far, how long and with which log, as its run.json says;
    decoding: how it translates.
    """
    commands = [x for x in history(about, "words", "averaging") if x != words] + [words]
    several = {
        "commands": [shlex.join(["annotated", *each]) for each in commands],
        "commits": [*dict.fromkeys([*chain(*history(about, "commits")), at_commit])],
        "trained_on": [*dict.fromkeys(chain(*history(about, "hardware")))],
        "averaged": about.get("averaged"),
        "examples": results[0].examples() if results else [],
    }
    kept = {
        "name": path.stem,
        "command": shlex.join(["annotated", *words]),
        "commit": at_commit,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
        "software": software(),
        "data": corpus_hashes(corpus),
        "config": {
            "model": asdict(model.config) | {"parameters": count_parameters(model)},
            "training": facts["training"],
            "decoding": decoding,
        },
        "step": facts["step"],
        "seconds": facts["seconds"],
        "curve": facts["log"],
        "scores": {result.name: result.entry() for result in results},
    }
    kept |= {name: value for name, value in several.items() if value}
    make(path.parent)
    write(path, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
