"""What the heads of the toy Transformers look at: alignments, and rules of grammar, three seeds.

Alignment error rate on the test sentences of each cross-attention head, of layers and all heads
averaged, and of the combination of heads that is best on the validation set, each as a word is
written and as it is read; beside chance, the diagonal, IBM model 1 and each model before training.
Then how often a head of self-attention looks where a rule says: the best head on the validation
set, beside chance, the best fixed offset, and the best head before training.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from annotated import models
from annotated.data import toy
from annotated.data.corpora import corpus_hashes
from annotated.data.tokenizer import Tokenizer
from annotated.evidence.alignment import (
    IBMModel1,
    alignment_error_rate,
    gold_alignment,
    largest,
    word_weights,
)
from annotated.evidence.roles import RULES, even, offset, rule_matrix, share
from annotated.model.transformer import Transformer
from annotated.results import commit
from tools.bench import recurrent, report
from tools.bench.recurrent import Sizes
from tools.bench.toy_models import prepared, trained

SPLITS = ("validation", "test")  # the one that chooses, the one that counts
READINGS = ("writing", "reading")
ROUNDS = 5  # of EM
OFFSETS = range(-9, 10)
Looks = dict[str, list[dict[str, Tensor]]]  # of each split, of each sentence, by attention


def add_options(command: argparse.ArgumentParser) -> None:
    """Where things are kept."""
    folder = Path("runs/toy-models")
    command.add_argument(
        "--work", type=Path, default=folder, help=f"where models are kept (default: {folder})"
    )


def run(options: argparse.Namespace) -> None:
    """python -m tools.bench roles"""
    began, at_commit = time.perf_counter(), commit()
    sizes = recurrent.QUICK if options.quick else Sizes()
    pairs = {name: toy.splits()[name][: 100 if options.quick else None] for name in SPLITS}
    corpus, tokenizer = prepared(sizes)
    config = recurrent.contenders(len(tokenizer), sizes)["Transformer"]
    threads, before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(1)
    try:
        rounds, baselines = without_heads(pairs, 2 if options.quick else ROUNDS)
        alignments, rules = [], []
        for seed in sizes.seeds:
            torch.manual_seed(seed)
            fresh = models.build(config)
            for name, model in (
                ("untrained", fresh),
                ("trained", trained(options.work, seed, sizes)),
            ):
                looks = looked(model, tokenizer, pairs)
                who = {"model": name, "seed": seed}
                alignments += [who | aligned(looks, pairs, reading) for reading in READINGS]
                rules += [who | row for row in followed(looks, pairs)]
                report.say(f"{name}, seed {seed}: {time.perf_counter() - began:.0f} s")
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(before)
    baselines |= {"rules": rule_baselines(pairs)}
    scores = {"baselines": baselines, "alignment": alignments, "rules": rules}
    show(scores)
    if options.record:
        report.write(
            options.record,
            options.words,
            commit=at_commit,
            data=corpus_hashes(corpus),
            config={"model": models.described(config), **asdict(sizes), "threads": 1},
            seconds=time.perf_counter() - began,
            curve=rounds,
            scores=scores,
        )


def show(scores: dict[str, Any]) -> None:
    """The tables for the reader."""
    rows = [
        {name: row[name] for name in ("model", "seed", "reading", "all heads")}
        | {"best head": row["best head"]["AER"], "best combination": row["best combination"]["AER"]}
        for row in scores["alignment"]
    ]
    print(report.table("alignment error rate", rows) + "\n")
    baselines = [{"of": name, "AER": rate} for name, rate in scores["baselines"]["AER"].items()]
    print(report.table("beside it", baselines) + "\n")
    wanted = ("model", "seed", "rule", "look", "layer", "head", "share")
    print(report.table("rules", [{k: row[k] for k in wanted} for row in scores["rules"]]))


def looked(model: Transformer, tokenizer: Tokenizer, pairs: dict[str, list[toy.Pair]]) -> Looks:
    """What a model's heads look at in all sentences."""
    return {
        name: [word_weights(model, tokenizer, pair) for pair in some]
        for name, some in pairs.items()
    }


def placed(index: int, heads: int) -> dict[str, int]:
    """A head's layer and number, both from 1, of its place among all."""
    return {"layer": index // heads + 1, "head": index % heads + 1}


# Alignments


def without_heads(
    pairs: dict[str, list[toy.Pair]], rounds: int
) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """IBM model 1 by rounds of EM, as it goes and as the others are: rates on the test set."""
    tests, known = pairs["test"], toy.splits()["train"]
    gold = [gold_alignment(pair) for pair in tests]
    sides = [[pair.source for pair in known], [pair.target for pair in known]]
    there, back = IBMModel1(*sides), IBMModel1(*sides[::-1])
    rows = []
    for n in range(1, rounds + 1):
        for aligner in (there, back):
            aligner.step()
        one = [largest(there.weights(p.source, p.target)[:, :-1]) for p in tests]
        other = [largest(back.weights(p.target, p.source)[:, :-1]).T for p in tests]
        both = [*zip(one, other, strict=True)]
        ways = {
            "IBM model 1": one,
            "IBM model 1, the other way": other,
            "IBM model 1, links of both": [a & b for a, b in both],
            "IBM model 1, links of either": [a | b for a, b in both],
        }
        rates = {name: alignment_error_rate(found, gold).item() for name, found in ways.items()}
        rows.append({"round": n} | rates)
    others = {
        "one gold link a word": [largest(g.float()) for g in gold],
        "diagonal": [diagonal(*g.shape) for g in gold],
        "chance": [torch.ones(g.shape) / g.size(1) for g in gold],
    }
    rates |= {name: alignment_error_rate(found, gold).item() for name, found in others.items()}
    return rows, {
        "AER": rates,
        "sentences": len(tests),
        "words": sum(len(g) for g in gold),
        "links": int(sum(g.sum() for g in gold)),
        "words without a link": int(sum((~g.any(-1)).sum() for g in gold)),
    }


def diagonal(rows: int, columns: int) -> Tensor:
    """Each row's link at the same share of the way."""
    step = (columns - 1) / max(1, rows - 1)
    away = torch.arange(rows)[:, None] * step - torch.arange(columns)
    return largest(-away.abs())


def combinations(heads: int) -> Tensor:
    """All means of some of the heads: (2^heads - 1, heads)"""
    chosen = torch.tensor([*product((0.0, 1.0), repeat=heads)][1:])
    return chosen / chosen.sum(-1, keepdim=True)


def aligned(looks: Looks, pairs: dict[str, list[toy.Pair]], reading: str) -> dict[str, Any]:
    """The rates of heads, layers and combinations on the test set, in one reading."""
    gold = {name: [gold_alignment(pair) for pair in some] for name, some in pairs.items()}
    marked = {name: [x[f"cross, {reading}"] for x in some] for name, some in looks.items()}
    layers, heads = marked["test"][0].shape[:2]
    mixes = combinations(layers * heads)

    def rates(change: Callable[[Tensor], Tensor], split: str = "test") -> Tensor:
        """Of what is made of all weights, without those on [end]."""
        found = (largest(change(w[..., :-1])) for w in marked[split])
        return alignment_error_rate(found, gold[split])

    def mixed(w: Tensor) -> Tensor:
        return torch.tensordot(mixes, w.flatten(0, 1), 1)  # (C, T, S)

    each = rates(lambda w: w)  # (N, H)
    best = int(rates(lambda w: w, "validation").argmin())
    mix = int(rates(mixed, "validation").argmin())
    found = [largest(w) for w in marked["test"]]  # [end] may have the largest
    all_heads = [largest(w.mean((0, 1))) for w in marked["test"]]
    words = sum(map(len, gold["test"]))
    on_end = torch.stack([x[..., -1].sum(-1) for x in found]).sum(0) / words
    others = words - len(found)  # all but the full stops
    on_stop = torch.stack([x[..., :-1, -2].sum(-1) for x in found]).sum(0) / others
    return {
        "reading": reading,
        "heads": each.tolist(),
        "layers": rates(lambda w: w.mean(1)).tolist(),
        "all heads": rates(lambda w: w.mean((0, 1))).item(),
        "best head": placed(best, heads) | {"AER": each.flatten()[best].item()},
        "best combination": {
            "AER": rates(mixed)[mix].item(),
            "heads": [placed(i, heads) for i in mixes[mix].nonzero().flatten().tolist()],
        },
        "all heads, [end] is no link": alignment_error_rate(
            (x[:, :-1] for x in all_heads), gold["test"]
        ).item(),
        "on [end]": on_end.tolist(),
        "on the full stop": on_stop.tolist(),
    }


# Rules


def asked() -> list[tuple[str, str]]:
    """Each rule with each attention and reading that it is asked of."""
    sides = {"encoder": ["encoder"], "decoder": [f"decoder, {reading}" for reading in READINGS]}
    return [(rule, look) for rule, (side, _) in RULES.items() for look in sides[side]]


def matrices(rule: str, pairs: dict[str, list[toy.Pair]]) -> dict[str, list[Tensor]]:
    """The links of a rule in each split, a matrix for each sentence that it says something of."""
    return {name: [rule_matrix(rule, pair) for pair in some] for name, some in pairs.items()}


def followed(looks: Looks, pairs: dict[str, list[toy.Pair]]) -> list[dict[str, Any]]:
    """For each rule the head that is best on the validation set, and all shares on the test set."""
    rows = []
    for rule, look in asked():
        found = {
            name: share([largest(x[look]) for x in looks[name]], each)  # (N, H)
            for name, each in matrices(rule, pairs).items()
        }
        best, heads = int(found["validation"].argmax()), found["test"].size(1)
        rows.append(
            {"rule": rule, "look": look, **placed(best, heads)}
            | {"share": found["test"].flatten()[best].item(), "heads": found["test"].tolist()}
        )
    return rows


def rule_baselines(pairs: dict[str, list[toy.Pair]]) -> list[dict[str, Any]]:
    """For each rule how many words it is about, chance, and the best fixed offset."""
    rows = []
    for rule, look in asked():
        links = matrices(rule, pairs)
        found = {name: share([shifts(len(x)) for x in each], each) for name, each in links.items()}
        best = int(found["validation"].argmax())
        tests = links["test"]
        rows.append(
            {"rule": rule, "look": look, "words": int(sum(x.any(-1).sum() for x in tests))}
            | {"chance": share([even(look, len(x)) for x in tests], tests).item()}
            | {"offset": OFFSETS[best], "share": found["test"][best].item()}
        )
    return rows


def shifts(words: int) -> Tensor:
    """All heads that look at a fixed offset: (offsets, words, words + 1)"""
    return torch.stack([offset(words, apart) for apart in OFFSETS])
