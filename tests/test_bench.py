"""tools.bench: equal work for all contenders, FLOPs as PyTorch counts them, whole records."""

import importlib.util
import io
import json
import shlex
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from annotated.data.batching import collate
from annotated.model.positions import sinusoids
from annotated.model.transformer import TransformerConfig
from tools.bench import (
    contenders,
    growth,
    ladder,
    layers,
    measure,
    report,
    threads,
    train,
    work,
)
from tools.bench.__main__ import main, parser

CONFIG = TransformerConfig(50, layers=2, d_model=16, d_ff=24, heads=2, dropout=0.0)
KEYS = {
    *("name", "command", "commit", "date", "hardware", "software", "data", "config"),
    *("seconds", "curve", "scores"),
}
needs_marian = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="transformers is not installed"
)
OTHERS = ["torch.nn.Transformer", pytest.param("Marian", marks=needs_marian)]


@pytest.fixture(autouse=True)
def products():
    """Every test begins with PyTorch's default for float32 products and leaves it so."""
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision("highest")


# What is to be done.


def test_lengths_are_ragged_with_the_mean_that_is_said():
    sizes = work.lengths(4000, seed=1)
    sources, targets = zip(*sizes, strict=True)
    for side in (sources, targets):
        assert abs(sum(side) / len(side) - work.MEAN) < 0.5
        assert min(side) >= work.SHORTEST and max(side) == work.LONGEST
    assert 0.9 < work.correlation(sources, targets) < 0.99
    assert sizes == work.lengths(4000, seed=1) != work.lengths(4000, seed=2)


def test_sentences_have_these_lengths_whatever_the_vocabulary():
    for vocab_size in (50, 8000):
        pairs = work.sentences(100, vocab_size, seed=1)
        assert [(len(s) + 1, len(t) + 1) for s, t in pairs] == work.lengths(100, seed=1)
        ids = {token for pair in pairs for side in pair for token in side}
        assert min(ids) == 3 and max(ids) < vocab_size


def test_batches_of_like_length_have_as_many_tokens_and_little_padding():
    pairs = work.sentences(2000, 50, seed=1)
    mixed, alike = work.random_order(pairs, 64), work.like_length(pairs, 64, seed=1)
    assert [pair for batch in mixed for pair in batch] == pairs[: 64 * len(mixed)]
    assert sorted(pair for batch in alike for pair in batch) == sorted(pairs)
    assert work.padding(mixed) > 0.5 > 0.15 > work.padding(alike)
    sizes = [sum(sum(work.tokens(x)) for x in batches) / len(batches) for batches in (mixed, alike)]
    assert 0.8 < sizes[1] / sizes[0] < 1.05


@pytest.mark.parametrize("name", ["annotated", "torch.nn.Transformer"])
def test_flops_are_those_that_pytorch_counts(name):
    pair = list(range(3, 12)), list(range(3, 9))  # 10 and 7 tokens: no padding, one sentence
    model, batch = contenders.CONTENDERS[name](CONFIG).model, collate([pair])
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(batch.source, batch.target_in).sum().backward()
    assert counter.get_total_flops() == work.model_flops(CONFIG, [pair])


def test_flops_leave_padding_out():
    short, long = ([3] * 4, [3] * 4), ([3] * 40, [3] * 40)
    together = work.model_flops(CONFIG, [short, long])
    assert together == work.model_flops(CONFIG, [short]) + work.model_flops(CONFIG, [long])


def test_attention_takes_half_the_flops_where_the_crossing_is():
    n = round(work.crossing(CONFIG) * 1000)  # of a model 1000 times as long, to have whole numbers
    rest = work.other_flops(CONFIG, n, n) * 1000
    assert work.attention_flops(CONFIG, n, n) == pytest.approx(rest, rel=1e-3)


# The contenders.


def copy_attention(ours, theirs):
    """Our projections into theirs, whose biases become zero."""
    if hasattr(theirs, "in_proj_weight"):
        parts = [ours.query.weight, ours.key.weight, ours.value.weight]
        theirs.in_proj_weight.copy_(torch.cat(parts))
        theirs.in_proj_bias.zero_()
        names = {"output": "out_proj"}
    else:
        names = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}
    for mine, its in names.items():
        getattr(theirs, its).weight.copy_(getattr(ours, mine).weight)
        getattr(theirs, its).bias.zero_()


def copy_layer(ours, theirs, names):
    """A layer's weights, module by module: ours by its path, theirs by its name."""
    for mine, its in names.items():
        one, other = ours.get_submodule(mine), getattr(theirs, its)
        if "attention" in mine:
            copy_attention(one, other)
        else:
            other.weight.copy_(one.weight)
            other.bias.copy_(one.bias)


# Their modules by the names of ours: what both layers have, then what each has of its own.
TORCH = {
    "both": {"self_attention": "self_attn", "residuals.0.norm": "norm1"}
    | {"feed_forward.inner": "linear1", "feed_forward.outer": "linear2"},
    "encoder": {"residuals.1.norm": "norm2"},
    "decoder": {"cross_attention": "multihead_attn"}
    | {"residuals.1.norm": "norm2", "residuals.2.norm": "norm3"},
}
MARIAN = {
    "both": {"self_attention": "self_attn", "residuals.0.norm": "self_attn_layer_norm"}
    | {"feed_forward.inner": "fc1", "feed_forward.outer": "fc2"},
    "encoder": {"residuals.1.norm": "final_layer_norm"},
    "decoder": {"cross_attention": "encoder_attn"}
    | {"residuals.1.norm": "encoder_attn_layer_norm", "residuals.2.norm": "final_layer_norm"},
}


@torch.no_grad()
def transplant(ours, theirs):
    """Our weights into another contender's model."""
    if isinstance(theirs, contenders.TorchTransformer):
        stacks, names = theirs.transformer, TORCH
        theirs.embedding.weight.copy_(ours.embedding.weight)
    else:
        stacks, names = theirs.model, MARIAN
        stacks.shared.weight.copy_(ours.embedding.weight)
        for stack in (stacks.encoder, stacks.decoder):  # its own has the sines first
            stack.embed_positions.weight.copy_(sinusoids(1024, CONFIG.d_model))
    for stack in ("encoder", "decoder"):
        mine, its = getattr(ours, stack).layers, getattr(stacks, stack).layers
        for one, other in zip(mine, its, strict=True):
            copy_layer(one, other, names["both"] | names[stack])


@pytest.mark.parametrize("name", OTHERS)
def test_the_contenders_are_one_model(name):
    """With the same weights, all have the same loss on a ragged batch, and the same gradient."""
    ours, other = measure.build("annotated", CONFIG), measure.build(name, CONFIG, seed=2)
    transplant(ours.model, other.model)
    batch = work.sentences(5, CONFIG.vocab_size, seed=1)
    losses = [each.step(each.prepare(batch)) for each in (ours, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    mine, its = ours.model.embedding.weight.grad, embedding_of(other.model).grad
    mine, its = mine[3:], its[3:]  # Marian's table takes no gradient at padding
    torch.testing.assert_close(mine / mine.norm(), its / its.norm(), rtol=1e-3, atol=1e-5)


def embedding_of(model):
    own = isinstance(model, contenders.TorchTransformer)
    return model.embedding.weight if own else model.model.shared.weight


@pytest.mark.parametrize("name", OTHERS)
def test_contenders_have_as_many_parameters_but_for_attention_biases(name):
    ours, other = (contenders.CONTENDERS[x](CONFIG).parameters for x in ("annotated", name))
    attentions = 3 * CONFIG.layers
    assert other - ours == attentions * 4 * CONFIG.d_model


def test_torch_drops_out_where_the_paper_does_only():
    config = replace(CONFIG, dropout=0.1)
    model = contenders.torch_transformer(config).model
    modules = list(model.modules())
    active = [x for x in modules if isinstance(x, torch.nn.Dropout) and x.p > 0]
    assert len(active) == 1 + 5 * config.layers  # embedded input, sub-layers
    assert not any(x.dropout for x in modules if isinstance(x, torch.nn.MultiheadAttention))


@needs_marian
def test_marian_uses_the_fused_attention_and_no_cache():
    model = contenders.marian(CONFIG).model
    assert model.config._attn_implementation == "sdpa"
    assert model.lm_head.weight is model.model.shared.weight


@pytest.mark.parametrize("name", ["annotated", *OTHERS])
def test_each_contender_learns(name):
    contender = measure.build(name, CONFIG)
    batch = contender.prepare(work.sentences(4, CONFIG.vocab_size, seed=1))
    losses = [contender.step(batch) for _ in range(30)]
    assert losses[-1] < losses[0]


# Measuring.


class Fake:
    """Contenders that write down in which order and precision they run."""

    def __init__(self):
        self.log = []

    def contender(self, name, precision):
        def step(batch):
            self.log.append((name, torch.get_float32_matmul_precision(), len(batch)))
            return 0.0

        return contenders.Contender(name, torch.nn.Identity(), list, step, precision)


def test_contenders_run_in_turn_each_in_its_precision_and_in_ours():
    fake, pair = Fake(), ([3], [3])
    pair_of = [fake.contender("a", "medium"), fake.contender("b", "highest")]
    rows = measure.race(measure.entries(pair_of), [[pair], [pair] * 2], warm=1)
    turn = [("a", "medium"), ("b", "highest"), ("a", "highest"), ("b", "medium")]
    assert fake.log == [(*who, size) for size in (2, 1, 2) for who in turn]
    assert [row.label for row in rows] == [", ".join(who) for who in turn]
    assert all(len(row.seconds) == 2 for row in rows)
    assert torch.get_float32_matmul_precision() == "highest"


def test_where_all_have_one_precision_each_runs_once():
    fake = Fake()
    rows = measure.entries([fake.contender(x, "highest") for x in "ab"])
    assert [row.label for row in rows] == ["a, highest", "b, highest"]


def test_a_contender_keeps_the_precision_that_it_chose(monkeypatch):
    def choosy(config):
        torch.set_float32_matmul_precision("medium")
        return Fake().contender("choosy", "highest")

    monkeypatch.setitem(contenders.CONTENDERS, "choosy", choosy)
    assert measure.build("choosy", CONFIG).precision == "medium"
    assert torch.get_float32_matmul_precision() == "highest"


def test_ratios_are_of_totals_and_of_batches():
    one, two = (measure.Entry(None, "highest", list(x)) for x in ([1.0, 1.0, 2.0], [3.0, 2.0, 3.0]))
    assert measure.ratios(two, one) == {"total": 2.0, "median": 2.0, "least": 1.5, "most": 3.0}


def test_peak_memory_holds_weights_gradients_and_adam_but_not_the_parent():
    config = TransformerConfig(20_000, layers=1, d_model=256, d_ff=256, heads=2)
    fetched = torch.ones(100_000_000)  # 400 MB: the parent is large, and stays so
    batch = work.sentences(2, config.vocab_size, seed=1)
    name = "torch.nn.Transformer"
    peak = measure.in_fresh_process(measure.peak_memory, name, config, batch, 2)
    weights = 4 * contenders.torch_transformer(config).parameters
    assert 4 * weights < peak < 4 * weights + fetched.numel() * 2


# The ladder.


def climbed(name, batches):
    """A rung after a step on each batch: its losses, its last gradients, how its weights moved."""
    contender = ladder.built(name, "highest", CONFIG)
    before = [x.detach().clone() for x in contender.model.parameters()]
    losses = [contender.step(contender.prepare(batch)) for batch in batches]
    weights = list(contender.model.parameters())
    moved = [after.detach() - start for after, start in zip(weights, before, strict=True)]
    return losses, [x.grad for x in weights], moved


@pytest.mark.parametrize("name", ladder.RUNGS[1:])
def test_every_rung_takes_the_same_step(name):
    batches = [work.sentences(5, CONFIG.vocab_size, seed) for seed in (1, 2)]
    plain, other = climbed("plain", batches), climbed(name, batches)
    assert other[0] == pytest.approx(plain[0], rel=1e-6)
    torch.testing.assert_close(other[1], plain[1], rtol=1e-4, atol=1e-6)
    for mine, its in zip(other[2], plain[2], strict=True):
        torch.testing.assert_close(mine, its, rtol=0.02, atol=0.02 * its.abs().max().item())


def test_the_last_rung_is_the_package_and_each_before_lacks_one_thing(monkeypatch):
    """Which parts of the package a step of each rung calls."""
    parts = dict.fromkeys(("PackedView", "fused_loss"), ladder.packing)
    parts["quicken"] = ladder.loop
    seen = {name: set() for name in ladder.RUNGS}

    def watched(part, original, name):
        def call(*args, **options):
            seen[name].add(part)
            return original(*args, **options)

        return call

    fused = {}
    for name in ladder.RUNGS:
        with monkeypatch.context() as patched:
            for part, module in parts.items():
                patched.setattr(module, part, watched(part, getattr(module, part), name))
            adam = mock.Mock(wraps=torch.optim.Adam)
            patched.setattr(torch.optim, "Adam", adam)
            contender = ladder.built(name, "medium", CONFIG)
            contender.step(contender.prepare(work.sentences(2, CONFIG.vocab_size, seed=1)))
            fused[name] = adam.call_args.kwargs.get("fused", False), contender.precision
    assert list(seen.values()) == [
        set(),
        {"PackedView"},
        {"PackedView"},
        {"PackedView", "fused_loss"},
        {"PackedView", "fused_loss"},
        {"PackedView", "fused_loss", "quicken"},
    ]
    assert [precision for _, precision in fused.values()] == ["highest"] * 2 + ["medium"] * 4
    if torch.__version__ >= "2.4":  # before, there is none on a CPU
        assert [is_fused for is_fused, _ in fused.values()] == [False] * 4 + [True] * 2
    assert torch.get_float32_matmul_precision() == "highest"


def test_gains_are_over_the_first_rung_and_over_the_one_before():
    fake, pairs = Fake(), work.sentences(2, CONFIG.vocab_size, seed=1)
    times = {"a": 6.0, "b": 3.0, "c": 1.0}
    rows = [measure.Entry(fake.contender(x, "highest"), "highest", [s]) for x, s in times.items()]
    memory = dict.fromkeys(times, 2**20)
    lines = ladder.summary(("tiny", "random"), CONFIG, [pairs], rows, memory)
    assert [line["times plain"] for line in lines] == [1, 2, 6]
    assert [line["times before"] for line in lines] == [1, 2, 3]
    assert [line["ms/step"] for line in lines] == [6000, 3000, 1000]


# The commands.


@pytest.fixture
def at_once(monkeypatch):
    """What would run in a fresh process runs in this one, which is quicker."""

    def here(function, *arguments):
        return function(*arguments) or 1  # bytes: this process may have had its peak before

    for module in (train, growth, ladder):
        monkeypatch.setattr(module, "in_fresh_process", here)


@pytest.mark.parametrize("command", ["train", "growth", "ladder", "layers"])
def test_a_quick_run_leaves_a_whole_record(command, at_once, tmp_path, capsys):
    path = tmp_path / "bench-quick.json"
    words = [command, "--quick", "--record", str(path)]
    assert main(words) == 0
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read.keys() >= KEYS and read["name"] == "bench-quick" and read["seconds"] > 0
    assert all(read[key] for key in KEYS)
    program = ["python", "-m", "tools.bench"]
    said = shlex.split(read["command"])
    assert said == program + words
    parser().parse_args(said[len(program) :])
    assert ("ms, forward" if command == "layers" else "ms/step") in capsys.readouterr().out
    assert torch.get_float32_matmul_precision() == "highest"


def test_threads_are_compared_free_and_beside_a_neighbor(monkeypatch, tmp_path, capsys):
    near, told = [], []

    @contextmanager
    def neighbor():
        near.append(True)
        yield
        near.pop()

    @contextmanager
    def worker(size, setting):
        told.append(setting)
        yield lambda seconds: 1.0 if near else 4.0

    monkeypatch.setattr(threads, "neighbor", neighbor)
    monkeypatch.setattr(threads, "worker", worker)
    path = tmp_path / "bench-threads.json"
    assert main(["threads", "--quick", "--record", str(path)]) == 0
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read.keys() >= KEYS and all(read[key] for key in KEYS)
    assert told == list(threads.SETTINGS.values())
    rows = read["scores"]["table"]
    assert [row["setting"] for row in rows] == list(threads.SETTINGS)
    assert {(row["free"], row["busy"]) for row in rows} == {(4.0, 1.0)}
    assert "steps a second" in capsys.readouterr().out


def test_a_worker_says_its_steps_a_second_whenever_it_is_asked(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("0.05\n0.1\n"))
    threads.train("tiny")
    assert all(float(line) > 0 for line in capsys.readouterr().out.splitlines())


def test_a_quick_run_has_every_contender_on_each_workload(at_once, tmp_path):
    path = tmp_path / "bench.json"
    assert main(["train", "--quick", "--without-memory", "--record", str(path)]) == 0
    read = json.loads(path.read_text(encoding="utf-8"))
    rows = read["scores"]["table"]
    for workload in ("random", "like length"):
        here = [row for row in rows if row["batches"] == workload]
        assert {row["contender"] for row in here} == set(contenders.available())
        assert here[0]["contender"] == "annotated" and here[0]["ratio"] == 1
    assert all(0 < row["utilisation"] and "peak MiB" not in row for row in rows)
    steps = read["curve"]
    assert len(steps) == 2 * train.QUICK.batches
    assert all(len(step["seconds"]) * 2 == len(rows) for step in steps)


def test_without_a_gpu_its_command_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["gpu"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_without_marian_the_whole_benchmark_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(train, "available", lambda: ["annotated", "torch.nn.Transformer"])
    assert main(["train"]) == 2
    assert "make bench" in capsys.readouterr().err


def test_the_reach_is_read_off_the_row_of_torch_as_it_comes():
    def line(contender, precision, ratio, memory):
        row = {"size": "base-8k", "batches": "random", "contender": contender}
        return row | {"precision": precision, "ratio": ratio, "ours/its": memory}

    name = "torch.nn.Transformer"
    rows = [line("annotated", "medium", 1.0, 1.0), line(name, "highest", 4.1, 0.9)]
    rows += [line(name, "medium", 3.0, 0.9)]
    time, memory = train.reached(rows)
    assert (time["got"], time["reached"]) == (4.1, "yes")
    assert (memory["got"], memory["reached"]) == (0.9, "no")


def test_where_attention_takes_half_of_the_step():
    assert growth.crossing([(16, 0.1), (64, 0.3), (256, 0.7)]) == pytest.approx(128)
    assert growth.crossing([(16, 0.1), (64, 0.3)]) is None


def test_the_fused_layer_is_the_layer():
    torch.manual_seed(0)
    ours, x = layers.layers(128), torch.randn(2, 5, 128)
    for name in ("self-attention", "its pairs"):
        torch.testing.assert_close(ours[f"{name}, fused"](x), ours[name](x))


def test_crossings_of_layers_are_where_their_times_are_equal():
    names = ["self-attention", "its maps", "its pairs", "its pairs, fused"]
    names += ["recurrent", "recurrent, nn.LSTM", "convolution"]
    times = dict.fromkeys(names, 4.0) | {"recurrent": 64.0}
    rows = [{"d_model": 8, "length": n} | times | {"its pairs": n / 4} for n in (4, 64)]
    found = layers.crossings(rows)
    assert found["pairs, maps"]["8"] == pytest.approx(16, rel=0.3)
    assert found["self-attention, recurrent"] == {"8": None}


def test_a_table_lines_its_numbers_up():
    rows = [{"who": "a", "ms": 1234.5, "n": 12345}, {"who": "bc", "ms": 1.234, "n": 1}]
    lines = report.table("title", rows).splitlines()
    assert lines[0] == "title" and len({len(line) for line in lines[1:]}) == 1
    assert lines[3].split() == ["a", "1,234", "12,345"] and "1.23" in lines[4]
