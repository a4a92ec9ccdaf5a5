"""Those that are compared in decoding, all with the weights of one model of this package.

Each writes so many tokens for each source, no fewer and no more: how long a translation of random
weights would be says nothing of speed.
"""

import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from annotated.data.batching import pad_sequences
from annotated.data.tokenizer import EOS, PAD
from annotated.fast.export import POSITIONS, specification
from annotated.fast.inference import threads_for
from annotated.fast.matmul_precision import choose_matmul_precision
from annotated.model.positions import sinusoids
from annotated.model.transformer import Transformer
from annotated.translation import search
from tools.bench import contenders
from tools.bench.measure import precision

Decode = Callable[[Sequence[list[int]], int, int], list[list[int]]]
Build = Callable[[Transformer, int], Decode]
ENGINE = Path(__file__).parent / "engine.py"
# OpenMP counts more of CTranslate2's threads than cores and lets them sleep between two products;
# awake for a millisecond, they are up to ten times as fast with 8 bits
AWAKE = {"OMP_WAIT_POLICY": "active", "GOMP_SPINCOUNT": "300000"}
LIBRARIES = {"transformers": "Marian", "ctranslate2": "CTranslate2"}


def missing() -> list[str]:
    """The libraries to compare with that are not installed."""
    return [name for name in LIBRARIES if importlib.util.find_spec(name) is None]


def chosen_products(rows: int, width: int) -> str:
    """The products that this package chooses for these sizes; PyTorch's are as they were."""
    with precision("highest"):
        return choose_matmul_precision(rows=rows, width=width)


def builders() -> dict[str, Build]:
    """What makes each contender that is installed, of a model and for so many threads."""
    made: dict[str, Build] = {"annotated float32": lambda model, n: ours(model)}
    lacking = missing()
    if "transformers" not in lacking:
        made["Marian"] = lambda model, n: marian(model)
    if "ctranslate2" not in lacking:
        made["CTranslate2 float32"] = lambda model, n: ctranslate2(model, "float32", n)
        made["CTranslate2 int8"] = lambda model, n: ctranslate2(model, "int8", n)
    return made


def ids(sources: Sequence[list[int]]) -> Tensor:
    """Sources as a model takes them: (B, S), each with EOS, padded."""
    return pad_sequences([[*source, EOS] for source in sources])


# This package.


@contextmanager
def forced(model: Transformer, length: int) -> Iterator[None]:
    """In here no sentence ends by itself, and each has `length` tokens at most."""
    logits = model.embedding.logits

    def endless(x: Tensor) -> Tensor:
        scores = logits(x)
        scores[..., EOS] = -math.inf
        return scores

    def limits(source: Tensor, extra: int) -> Tensor:
        return torch.full_like(source[:, 0], length)

    with (
        mock.patch.object(model.embedding, "logits", endless),
        mock.patch.object(search, "limits", limits),
    ):
        yield


def ours(model: Transformer) -> Decode:
    """The searches of Section 6.1, with as many threads as `annotated translate` gives them."""

    def decode(sources: Sequence[list[int]], beam: int, length: int) -> list[list[int]]:
        with forced(model, length), threads_for(model, len(sources) * beam):
            if beam == 1:
                return search.greedy(model, ids(sources), extra=length).tolist()
            config = search.SearchConfig(beam=beam, extra=length)
            found = search.beam_search(model, ids(sources), config)
        return [best[0].ids for best in found]

    return decode


# Hugging Face's Marian.

MODULES = {  # its names by ours
    "feed_forward.inner": "fc1",
    "feed_forward.outer": "fc2",
    "self_attention": "self_attn",
    "cross_attention": "encoder_attn",
    "query": "q_proj",
    "key": "k_proj",
    "value": "v_proj",
    "output": "out_proj",
}
NORMS = {  # of a layer, in the order of our residual connections
    "encoder": ["self_attn_layer_norm", "final_layer_norm"],
    "decoder": ["self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"],
}


def marian(model: Transformer) -> Decode:
    """`generate` of Hugging Face's Marian, as it comes."""
    theirs: Any = marian_model(model)

    def decode(sources: Sequence[list[int]], beam: int, length: int) -> list[list[int]]:
        source = ids(sources)
        written = theirs.generate(  # all hypotheses have one length: no length penalty matters
            source,
            attention_mask=source != PAD,
            do_sample=False,
            num_beams=beam,
            min_new_tokens=length,
            max_new_tokens=length,
        )
        return written[:, 1:].tolist()  # without BOS

    return decode


@torch.no_grad()
def marian_model(model: Transformer) -> nn.Module:
    """Marian with our weights and sinusoids, and zeros for the biases that we do not have."""
    theirs: Any = contenders.marian(model.config).model.eval()
    weights = {marian_name(name): value for name, value in model.state_dict().items()}
    for name, parameter in theirs.named_parameters():
        parameter.copy_(weights.get(name, torch.zeros_like(parameter)))
    for stack in (theirs.model.encoder, theirs.model.decoder):  # its own has the sines first
        stack.embed_positions.weight.copy_(sinusoids(POSITIONS, model.config.d_model))
    return theirs


def marian_name(name: str) -> str:
    """What Marian calls the weight that we call so."""
    if name == "embedding.weight":
        return "model.shared.weight"
    for mine, its in MODULES.items():
        name = name.replace(f".{mine}.", f".{its}.")
    for index, norm in enumerate(NORMS[name.split(".")[0]]):
        name = name.replace(f".residuals.{index}.norm.", f".{norm}.")
    return f"model.{name}"


# CTranslate2.


def ctranslate2(model: Transformer, kind: str, threads: int = 1) -> Decode:
    """CTranslate2 with our weights, kept as "float32" or "int8", in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        spec = specification(model)
        spec.optimize()
        spec.save(folder)
        command = [sys.executable, str(ENGINE), folder, kind, str(threads)]
        engine: Any = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | AWAKE,
        )
        if not engine.stdout.readline():  # the model is read, and the folder may go
            raise OSError("CTranslate2 could not read the model: see what it printed")

    def decode(sources: Sequence[list[int]], beam: int, length: int) -> list[list[int]]:
        tokens = [[*map(str, source), str(EOS)] for source in sources]
        print(json.dumps([tokens, beam, length]), file=engine.stdin, flush=True)
        return [[int(token) for token in each] for each in json.loads(engine.stdout.readline())]

    return decode
