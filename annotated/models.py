"""The models that there are, by the names under which they are asked for and kept.

Training, search and checkpoints ask the same of each. It is built from its configuration, a
dataclass with `vocab_size`, `d_model`, `pad` and `reach`, and has an `embedding` whose `weight`
(V, D) scores the next token; `decoder_outputs` says what it is trained on, `decoding_of` how it
writes. A model is imported when it is asked for: its room may stand on the one that asks.
"""

from dataclasses import asdict, fields
from importlib import import_module
from typing import Any

import torch

MODELS = {  # its module, its configuration, the model itself
    "transformer": ("annotated.model.transformer", "TransformerConfig", "Transformer"),
    "recurrent": (
        "annotated.evidence.recurrent_translator",
        "RecurrentConfig",
        "RecurrentTranslator",
    ),
}
FIRST = "transformer"  # the model of whoever names none


def configuration(name: str) -> Any:
    """The class of a model's configuration; ValueError where there is no such model."""
    if name not in MODELS:
        raise ValueError(f"there is no model {name!r}: there is {', '.join(MODELS)}")
    module, config, _ = MODELS[name]
    return getattr(import_module(module), config)


def name_of(config: Any) -> str:
    """The name of the model that a configuration is of."""
    return next(name for name, (_, its, _) in MODELS.items() if its == type(config).__name__)


def build(config: Any) -> Any:
    """A new model of these sizes."""
    module, _, model = MODELS[name_of(config)]
    return getattr(import_module(module), model)(config)


def size(config: Any) -> int:
    """The number of weights of a model, each shared matrix once; it takes no memory for them."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in build(config).parameters())


def described(config: Any) -> dict[str, Any]:
    """A configuration as JSON can hold it; the first model goes without its name."""
    name = name_of(config)
    return ({} if name == FIRST else {"name": name}) | asdict(config)


def configured(description: dict[str, Any]) -> Any:
    """The configuration that `described` made this of; ValueError or TypeError if none did."""
    sizes = dict(description)
    return configuration(sizes.pop("name", FIRST))(**sizes)


def options_of(name: str) -> set[str]:
    """The fields of a model's configuration."""
    return {each.name for each in fields(configuration(name))}


def like(config: Any, name: str) -> Any:
    """A configuration of the model of this name, as like the given one as they have fields."""
    shared = options_of(name) & options_of(name_of(config))
    return configuration(name)(**{each: getattr(config, each) for each in shared})
