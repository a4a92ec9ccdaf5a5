"""The three that are compared: each makes a full training step on the same sentences.

A contender is a model, `prepare`, which makes of sentence pairs what its data loader would hand
over (outside the time), and `step`: forward, smoothed loss, backward, Adam.
"""

import importlib
import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from annotated.data.batching import Batch, Encoded, collate
from annotated.data.tokenizer import BOS, EOS
from annotated.fast.matmul_precision import choose_matmul_precision
from annotated.model.positions import sinusoids
from annotated.model.transformer import Transformer, TransformerConfig
from annotated.training.loop import Run, TrainingConfig

SMOOTHING = 0.1


@dataclass
class Contender:
    """One implementation, and the precision of float32 products under which it runs."""

    name: str
    model: nn.Module
    prepare: Callable[[Sequence[Encoded]], Any]
    step: Callable[[Any], float]  # what prepare returned -> the loss, in nats a token
    precision: str = "highest"  # of torch.set_float32_matmul_precision: PyTorch's default

    @property
    def parameters(self) -> int:
        """The number of weights that are trained, each shared matrix once."""
        return sum(x.numel() for x in self.model.parameters() if x.requires_grad)


def ours(config: TransformerConfig) -> Contender:
    """This package, as `annotated train` uses it: with the float32 products that it chooses."""
    choose_matmul_precision()
    run = Run(Transformer(config), TrainingConfig(smoothing=SMOOTHING))
    return Contender("annotated", run.model, collate, run.update)


class TorchTransformer(nn.Module):
    """torch.nn.Transformer with what it leaves to its user: embeddings, positions, masks."""

    def __init__(self, config: TransformerConfig, longest: int = 1024):
        super().__init__()
        self.pad = config.pad
        self.scale = math.sqrt(config.d_model)
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        nn.init.normal_(self.embedding.weight, std=config.d_model**-0.5)
        self.positions: Tensor
        self.register_buffer("positions", sinusoids(longest, config.d_model), persistent=False)
        self.dropout = nn.Dropout(config.dropout)
        self.transformer = nn.Transformer(
            d_model=config.d_model,
            nhead=config.heads,
            num_encoder_layers=config.layers,
            num_decoder_layers=config.layers,
            dim_feedforward=config.d_ff,
            dropout=config.dropout,
            batch_first=True,
        )
        as_in_the_paper(self.transformer)

    def embed(self, tokens: Tensor) -> Tensor:
        """ids (B, T) -> (B, T, D)"""
        x = self.embedding(tokens) * self.scale + self.positions[: tokens.size(1)]
        return self.dropout(x)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """ids (B, S) and, shifted right, (B, T) -> logits (B, T, V)"""
        is_pad = source == self.pad  # True where attention may not look
        causal = nn.Transformer.generate_square_subsequent_mask(target.size(1), source.device)
        x = self.transformer(
            self.embed(source),
            self.embed(target),
            tgt_mask=causal,
            src_key_padding_mask=is_pad,
            memory_key_padding_mask=is_pad,
            tgt_is_causal=True,
        )
        return F.linear(x, self.embedding.weight)


def as_in_the_paper(transformer: nn.Transformer) -> None:
    """Take away what the paper's model lacks, so that the comparison is of equal work.

    It drops out attention weights and hidden units too, and ends each stack with a norm.
    """
    transformer.encoder.norm = transformer.decoder.norm = None
    for layer in [*transformer.encoder.layers, *transformer.decoder.layers]:
        layer.dropout.p = 0.0  # inside the feed-forward network; dropout1 to 3 stay
        layer.self_attn.dropout = 0.0
        if isinstance(layer, nn.TransformerDecoderLayer):
            layer.multihead_attn.dropout = 0.0


def torch_transformer(config: TransformerConfig) -> Contender:
    """torch.nn.Transformer, in a loop as its reader would write it."""
    model = TorchTransformer(config)
    return Contender("torch.nn.Transformer", model, collate, plain_step(model, model))


def marian(config: TransformerConfig) -> Contender:
    """Hugging Face's Marian, which is the paper's model but for biases; attention by SDPA."""
    transformers = importlib.import_module("transformers")
    sizes = transformers.MarianConfig(
        vocab_size=config.vocab_size,
        d_model=config.d_model,
        encoder_layers=config.layers,
        decoder_layers=config.layers,
        encoder_ffn_dim=config.d_ff,
        decoder_ffn_dim=config.d_ff,
        encoder_attention_heads=config.heads,
        decoder_attention_heads=config.heads,
        activation_function="relu",
        dropout=config.dropout,
        attention_dropout=0.0,
        activation_dropout=0.0,
        scale_embedding=True,
        share_encoder_decoder_embeddings=True,
        max_position_embeddings=1024,
        pad_token_id=config.pad,
        eos_token_id=EOS,
        forced_eos_token_id=None,
        decoder_start_token_id=BOS,
        init_std=config.d_model**-0.5,
        attn_implementation="sdpa",
    )
    model = transformers.MarianMTModel(sizes)

    def logits(source: Tensor, target: Tensor) -> Tensor:
        mask = source != config.pad
        return model(source, mask, decoder_input_ids=target, use_cache=False).logits

    return Contender("Marian", model, collate, plain_step(model, logits))


def plain_step(
    model: nn.Module, logits: Callable[[Tensor, Tensor], Tensor], pad: int = 0
) -> Callable[[Batch], float]:
    """A training step as PyTorch's tutorials write it."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-9)

    def step(batch: Batch) -> float:
        model.train()
        scores = logits(batch.source, batch.target_in)  # (B, T, V)
        loss = F.cross_entropy(
            scores.flatten(0, 1),
            batch.target_out.flatten(),
            ignore_index=pad,
            label_smoothing=SMOOTHING,
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


CONTENDERS = {"annotated": ours, "torch.nn.Transformer": torch_transformer, "Marian": marian}


def available() -> list[str]:
    """The names of the contenders whose libraries are installed."""
    has_marian = importlib.util.find_spec("transformers") is not None
    return [name for name in CONTENDERS if name != "Marian" or has_marian]
