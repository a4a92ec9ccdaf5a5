# Tangled from chapters/fast/decoding-speed.md: change it there, then run `make tangle`.
"""A model written in the format of CTranslate2, complete with all that a translator needs."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from annotated.data.tokenizer import BOS, EOS, PAD, Tokenizer
from annotated.fast.engine import EngineError, library
from annotated.files import write
from annotated.folders import all_or_nothing
from annotated.model.positions import sinusoids
from annotated.model.transformer import Transformer, TransformerConfig
from annotated.models import FIRST, name_of

Weights = Mapping[str, np.ndarray]  # by their names in the checkpoint


def linear(its: Any, weights: Weights, *names: str) -> None:
    """Linear maps of one input as one: their weights below each other, and their biases."""
    its.weight = np.concatenate([weights[f"{name}.weight"] for name in names])
    if f"{names[0]}.bias" in weights:
        its.bias = np.concatenate([weights[f"{name}.bias"] for name in names])


def norm(its: Any, weights: Weights, name: str) -> None:
    """A layer norm."""
    its.gamma, its.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]


def layer(its: Any, weights: Weights, at: str) -> None:
    """The layer of this name, sub-layer by sub-layer."""
    own, across = f"{at}.self_attention", f"{at}.cross_attention"
    linear(its.self_attention.linear[0], weights, f"{own}.query", f"{own}.key", f"{own}.value")
    linear(its.self_attention.linear[1], weights, f"{own}.output")
    parts = [its.self_attention, its.ffn]
    if f"{across}.query.weight" in weights:
        linear(its.attention.linear[0], weights, f"{across}.query")
        linear(its.attention.linear[1], weights, f"{across}.key", f"{across}.value")
        linear(its.attention.linear[2], weights, f"{across}.output")
        parts.insert(1, its.attention)
    linear(its.ffn.linear_0, weights, f"{at}.feed_forward.inner")
    linear(its.ffn.linear_1, weights, f"{at}.feed_forward.outer")
    for i, part in enumerate(parts):
        norm(part.layer_norm, weights, f"{at}.residuals.{i}.norm")


POSITIONS = 1024  # in the table of sinusoids


def position_table(model: Transformer) -> np.ndarray:
    """The vectors of all positions that the export will know: (positions, D)"""
    if model.config.positions == "learned":
        return model.state_dict()["positions.table"].float().numpy(force=True)
    return sinusoids(POSITIONS, model.config.d_model).numpy()


def refuse(sizes: TransformerConfig) -> None:
    """EngineError for a model that CTranslate2 cannot hold."""
    if (name := name_of(sizes)) != FIRST:
        raise EngineError(f"CTranslate2 holds a Transformer, and this model is {name}")
    key, value = (x or sizes.d_model // sizes.heads for x in (sizes.d_k, sizes.d_v))
    if key != value:
        raise EngineError(
            f"CTranslate2 knows one width for keys and values, and this model has two: d_k {key}, "
            f"d_v {value}"
        )


def specification(model: Transformer) -> Any:
    """The model as CTranslate2 describes it; its tokens are the ids, written as digits.

    EngineError where the library is missing or cannot hold the model.
    """
    sizes = model.config
    refuse(sizes)
    weights = {name: x.float().numpy(force=True).copy() for name, x in model.state_dict().items()}
    specs = library().specs
    sized = {"pre_norm": sizes.norm_first, "head_dim": sizes.d_k}
    spec = specs.TransformerSpec(
        specs.TransformerEncoderSpec(sizes.layers, sizes.heads, **sized),
        specs.TransformerDecoderSpec(sizes.layers, sizes.heads, **sized),
    )
    table = position_table(model)
    embedding = weights["embedding.weight"]
    for tied in (spec.encoder.embeddings[0], spec.decoder.embeddings, spec.decoder.projection):
        tied.weight = embedding
    for name, its in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        its.position_encodings.encodings = table
        for i, each in enumerate(its.layer):
            layer(each, weights, f"{name}.layers.{i}")
        if sizes.norm_first:
            norm(its.layer_norm, weights, f"{name}.norm")
    words = list(map(str, range(sizes.vocab_size)))
    spec.register_source_vocabulary(words)
    spec.register_target_vocabulary(words)
    spec.config.unk_token, spec.config.eos_token = str(PAD), str(EOS)
    spec.config.bos_token = spec.config.decoder_start_token = str(BOS)
    spec.validate()
    return spec


def export(
    folder: Path | str,
    model: Transformer,
    tokenizer: Tokenizer,
    about: dict[str, Any] | None = None,
    int8: bool = False,
) -> None:
    """Write a model into a new folder, for CTranslate2, all or nothing.

    Beside the library's own files lie the tokenizer and model.json, which says what the model is,
    how many positions it knows, and what was kept of its run. With int8, a weight has 8 bits.
    Raises EngineError as `specification` does, CheckpointError where the folder exists or cannot be
    written.
    """
    spec = specification(model)
    spec.optimize("int8" if int8 else None)
    description = {
        "model": asdict(model.config),
        "about": about or {},
        "positions": len(position_table(model)),
    }
    with all_or_nothing(Path(folder)) as part:
        spec.save(str(part))
        write(part / "model.json", json.dumps(description, indent=1))
        tokenizer.save(part / "tokenizer.json")
