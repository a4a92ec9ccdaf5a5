"""Recorded runs: what was run, on what, on which data, and what came out, as one JSON file."""

import hashlib
import importlib.metadata
import json
import platform
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from annotated.data.corpora import Corpus
from annotated.files import make, write
from annotated.model.transformer import Transformer
from annotated.training.checkpoints import count_parameters
from annotated.translation.scores import Score
from annotated.translation.search import SearchConfig


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


def corpus_hashes(corpus: Corpus) -> dict[str, Any]:
    """The corpus by name, with the number of pairs and the SHA-256 of the text of each split."""
    splits = {}
    for name, pairs in corpus.splits.items():
        digest, number = hashlib.sha256(), 0
        for source, target in pairs:  # a stream has no length
            digest.update(f"{source}\t{target}\n".encode())
            number += 1
        splits[name] = {"pairs": number, "sha256": digest.hexdigest()}
    return {"name": corpus.name, "pair": f"{corpus.source}-{corpus.target}", "splits": splits}


def held_out_sums(corpus: Corpus) -> dict[str, Any]:
    """What tells a corpus from another: the fingerprints of all parts that are lists."""
    lists = {name: pairs for name, pairs in corpus.splits.items() if isinstance(pairs, list)}
    return corpus_hashes(replace(corpus, splits=lists))["splits"]


def entry(scores: Mapping[str, Score]) -> dict[str, Any]:
    """The scores of one test set, from `all_scores`, as a record keeps them."""
    forms = {
        name: {"value": x.value, "signature": x.signature} | ({"words": x.words} if x.words else {})
        for name, x in scores.items()
    }
    bleu = forms.pop("bleu")
    return {"bleu": bleu["value"], "signature": bleu["signature"], **forms}


def made_by(about: Mapping[str, Any]) -> list[list[str]]:
    """The words of all commands that made a model, those of the model that it began from first."""
    before = made_by(about["init"]) if "init" in about else []
    return [*before, *(about[name] for name in ("words", "averaging") if name in about)]


def all_of(about: Mapping[str, Any], name: str) -> list[str]:
    """What is listed under a name for a model, after that of the model that it began from."""
    before = all_of(about["init"], name) if "init" in about else []
    return list(dict.fromkeys([*before, *about.get(name, [])]))


def config_of(
    model: Transformer,
    training: Mapping[str, Any],
    search: SearchConfig,
    engine: str = "annotated",
    int8: bool = False,
) -> dict[str, Any]:
    """What a model is, how it was trained, and how it translates, as a record keeps it."""
    return {
        "model": asdict(model.config) | {"parameters": count_parameters(model)},
        "training": training,
        "decoding": asdict(search) | {"engine": engine, "int8": int8},
    }


def write_record(
    path: Path,
    words: Sequence[str],
    corpus: Corpus,
    config: Mapping[str, Any],
    seconds: float,
    curve: Sequence[Mapping[str, float]],
    scores: Mapping[str, Any],
    **more: Any,
) -> None:
    """Write a run's record; `words` are the command's arguments, without the program's name.

    `more` adds to what is known of the run, or says it better: the commit at its start, say.
    """
    record = {
        "name": path.stem,
        "command": shlex.join(["annotated", *words]),
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
        "software": software(),
        "data": corpus_hashes(corpus),
        "config": config,
        "seconds": seconds,
        "curve": curve,
        "scores": scores,
    }
    record |= more
    make(path.parent)
    write(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
