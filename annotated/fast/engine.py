# Tangled from chapters/fast/decoding-speed.md: change it there, then run `make tangle`.
"""Translating by CTranslate2, an engine in C++, without PyTorch (Section 6.1)."""

import hashlib
import importlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from annotated import __version__
from annotated.data.tokenizer import EOS
from annotated.data.word_tokenizer import load_tokenizer
from annotated.folders import MODEL_FILES, complete, readable
from annotated.translation.hypotheses import (
    Hypothesis,
    SearchConfig,
    Translator,
    length_penalty,
)
from annotated.translation.sentences import Seen


class EngineError(ValueError):
    """What the engine cannot do, or a model that it cannot hold: one sentence that says why."""


def library() -> Any:
    """CTranslate2; EngineError where it is not installed."""
    try:
        return importlib.import_module("ctranslate2")
    except ImportError:
        raise EngineError(
            'CTranslate2 is not installed: pip install "annotated[fast]" brings it'
        ) from None


TOKENS = 4096  # padded source positions times the beam that are searched together
FILES = ["model.bin", "model.json", "tokenizer.json"]  # some of what an export holds


def is_export(folder: Path) -> bool:
    """Whether `export` wrote this folder."""
    return (folder / FILES[0]).is_file()


class Engine:
    """A model that `export` wrote, searched by CTranslate2 on the CPU."""

    def __init__(self, folder: Path | str, int8: bool = False):
        """With int8, weights of 8 bits whatever the folder holds; else what it holds.

        Raises CheckpointError where the folder holds no export or a damaged one, EngineError where
        CTranslate2 is not installed.
        """
        folder, kind = complete(folder, FILES), "int8" if int8 else "default"
        engine = library()
        with readable(folder):
            description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            self.positions: int = description["positions"]  # that the model can tell apart
            self.about: dict[str, Any] = description["about"]
            self.tokenizer = load_tokenizer(folder / "tokenizer.json")
            self.engine = engine.Translator(str(folder), compute_type=kind)

    def translator(self, config: SearchConfig, seen: Seen) -> Translator:
        """The engine as a translator of lines, in parts no longer than what training has seen."""
        seen = seen.within(self.positions - config.extra)
        return Translator(self.tokenizer, seen, lambda ids, n: self.search(ids, n, config))

    def search(
        self, encoded: Sequence[list[int]], n_best: int, config: SearchConfig
    ) -> list[list[Hypothesis]]:
        """The `n_best` best hypotheses of each sentence, best first.

        encoded: ids without EOS, at least one for each sentence and no more than
        there are positions for, `extra` apart.
        """
        limits = [len(ids) + 1 + config.extra for ids in encoded]
        found = self.decode(encoded, config.beam, max(limits, default=0))
        for i, limit in enumerate(limits):
            if max(len(ids) for ids, _ in found[i]) > limit:
                found[i] = self.decode([encoded[i]], config.beam, limit)[0]

        def hypothesis(ids: list[int], log_probability: float) -> Hypothesis:
            score = log_probability / length_penalty(len(ids), config.alpha)
            return Hypothesis([i for i in ids if i != EOS], log_probability, score)

        ranked = ([hypothesis(*one) for one in each] for each in found)
        return [sorted(each, key=lambda one: -one.score)[:n_best] for each in ranked]

    def decode(
        self, encoded: Sequence[list[int]], beam: int, limit: int
    ) -> list[list[tuple[list[int], float]]]:
        """Of each sentence the hypotheses that a beam finds, of `limit` ids at most.

        As ids, EOS included where it was written, and their log-probability, in nats.
        """
        found = self.engine.translate_batch(
            [[*map(str, ids), str(EOS)] for ids in encoded],
            beam_size=beam,
            num_hypotheses=beam,  # all of them: we rank
            length_penalty=0,  # scores are sums
            min_decoding_length=0,
            max_decoding_length=limit,
            max_input_length=0,  # any
            max_batch_size=max(1, TOKENS // beam),
            batch_type="tokens",
            return_scores=True,
            return_end_token=True,
        )
        return [
            [
                ([int(i) for i in ids], score)
                for ids, score in zip(each.hypotheses, each.scores, strict=True)
            ]
            for each in found
        ]


def exported(folder: Path | str, cache: Path, load: Callable[[Path], Any]) -> Path:
    """The export of a checkpoint in the cache: written there where it is missing.

    It is found again by what the checkpoint's files hold, not by their names. `load`, such as
    `load_checkpoint`, reads the model where it is needed.
    """
    place = complete(folder)
    digest = hashlib.sha256(f"{__version__} {library().__version__}".encode())
    for name in MODEL_FILES:
        digest.update((place / name).read_bytes())
    kept = cache / digest.hexdigest()[:32]
    if not kept.is_dir():
        from annotated.fast.export import export  # which needs PyTorch

        cache.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=cache) as part:
            export(Path(part) / kept.name, *load(place))
            with suppress(OSError):  # where another process was first
                (Path(part) / kept.name).rename(kept)
    return kept
