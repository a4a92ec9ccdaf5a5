"""Checkpoints: models on disk, and runs that go on as if they had never stopped."""

import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from safetensors.torch import load_file, save_file

from annotated import files
from annotated.data.batching import collate, plan
from annotated.data.steps import stream
from annotated.data.tokenizer import Tokenizer
from annotated.folders import MODEL_FILES, RUN_FILES, CheckpointError, steps_in
from annotated.model.transformer import Transformer, TransformerConfig
from annotated.training import checkpoints
from annotated.training.checkpoints import (
    load_checkpoint,
    optimizer_tensors,
    resume,
    save_checkpoint,
    save_run,
)
from annotated.training.loop import Run, TrainingConfig, train

SIZES = TransformerConfig(270, layers=1, d_model=16, d_ff=32, heads=2, dropout=0.1)
PAIRS = [([5 + i, 6, 7][: 1 + i % 3], [8, 9, 10 + i, 11][: 1 + i % 4]) for i in range(14)]
TOKENS = 20  # of a step: some steps an epoch
TEXT = ["a small text, for a small vocabulary"] * 3


@pytest.fixture(autouse=True)
def products():
    """`resume` sets the precision of products: no test leaves it changed."""
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(TEXT, 270)


def fresh(sizes=SIZES, **settings):
    torch.manual_seed(0)
    return Run(Transformer(sizes), TrainingConfig(**{"warmup": 10, **settings}))


def stepped(steps=1, **settings):
    """A run that has taken some steps."""
    run = fresh(**settings)
    for share in islice(stream(PAIRS, TOKENS, seed=1), steps):
        run.update(share)
    return run


def state_of(run):
    """Everything that a run's next steps depend on, as one dictionary of tensors."""
    weights = {f"weight.{name}": value for name, value in run.model.state_dict().items()}
    return {**weights, **optimizer_tensors(run)}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


# A model


def test_a_checkpoint_is_three_files_of_data_and_gives_the_same_model(tmp_path, tokenizer):
    run, batch = stepped(), collate(PAIRS)
    save_checkpoint(tmp_path / "run", run.model, tokenizer, {"step": 1})
    assert os.listdir(tmp_path) == ["run"]
    assert sorted(os.listdir(tmp_path / "run")) == sorted(MODEL_FILES)
    model, same, about = load_checkpoint(tmp_path / "run")
    run.model.eval()
    assert not model.training
    assert torch.equal(
        model(batch.source, batch.target_in), run.model(batch.source, batch.target_in)
    )
    assert about == {"step": 1}
    assert same.encode("a small text") == tokenizer.encode("a small text")


def test_folders_above_are_made(tmp_path, tokenizer):
    save_checkpoint(tmp_path / "a" / "b" / "run", fresh().model, tokenizer)
    load_checkpoint(tmp_path / "a" / "b" / "run")


def test_a_folder_that_exists_is_not_written_to(tmp_path, tokenizer):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="run exists already: name another folder"):
        save_checkpoint(tmp_path / "run", fresh().model, tokenizer)
    assert os.listdir(tmp_path) == ["run"] and os.listdir(tmp_path / "run") == ["mine.txt"]


def test_what_a_killed_save_left_behind_is_in_nobody_s_way(tmp_path, tokenizer):
    part = tmp_path / ".run.part"
    part.mkdir()
    (part / "model.safetensors").write_text("half")
    (part / "more").write_text("half")
    save_checkpoint(tmp_path / "run", fresh().model, tokenizer)
    assert os.listdir(tmp_path) == ["run"]
    assert sorted(os.listdir(tmp_path / "run")) == sorted(MODEL_FILES)


def test_a_save_that_fails_leaves_nothing(tmp_path, tokenizer):
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path / "run", fresh().model, tokenizer, {"step": object()})
    assert os.listdir(tmp_path) == []


def test_a_folder_without_a_model_is_said(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CheckpointError, match=f"{folder} holds no model: model.safetensors"):
            load_checkpoint(folder)


@pytest.mark.parametrize("name", MODEL_FILES)
def test_a_missing_file_is_named(tmp_path, tokenizer, name):
    save_checkpoint(tmp_path / "run", fresh().model, tokenizer)
    (tmp_path / "run" / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        load_checkpoint(tmp_path / "run")


FOREIGN = {"empty": b"", "text": b"no such thing", "a list": b"[1, 2]", "bytes": bytes(range(256))}


def damage(file, how):
    """Make a file what a full disk or a wrong copy makes of it."""
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] if how == "half" else FOREIGN[how])


@pytest.mark.parametrize("how", ["half", *FOREIGN])
@pytest.mark.parametrize("name", MODEL_FILES)
def test_a_damaged_file_is_one_sentence(tmp_path, tokenizer, name, how):
    save_checkpoint(tmp_path / "run", fresh().model, tokenizer)
    damage(tmp_path / "run" / name, how)
    with pytest.raises(CheckpointError, match="cannot be read") as error:
        load_checkpoint(tmp_path / "run")
    assert "\n" not in str(error.value)
    assert str(tmp_path / "run") in str(error.value)


def test_weights_of_another_model_are_refused(tmp_path, tokenizer):
    save_checkpoint(tmp_path / "run", fresh().model, tokenizer)
    file = tmp_path / "run" / "model.json"
    description = json.loads(file.read_text())
    description["model"]["d_ff"] = 64
    file.write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path / "run")


def test_a_tokenizer_of_another_model_is_refused(tmp_path, tokenizer):
    save_checkpoint(tmp_path / "run", fresh().model, tokenizer)
    Tokenizer.train(["another text"], 262).save(tmp_path / "run" / "tokenizer.json")
    with pytest.raises(CheckpointError, match="do not belong together"):
        load_checkpoint(tmp_path / "run")


def test_nothing_is_pickled():
    """Whoever loads a checkpoint of somebody else's runs none of their code."""
    for file in Path(checkpoints.__file__).parent.parent.rglob("*.py"):
        for line in file.read_text(encoding="utf-8").splitlines():
            assert "pickle" not in line and "torch.save(" not in line, f"{file.name}: {line}"
            assert "torch.load(" not in line or "weights_only=True" in line, f"{file.name}: {line}"
            assert "np.load(" not in line or "allow_pickle" not in line, f"{file.name}: {line}"


# A run


def test_a_run_has_a_folder_for_each_step_that_is_kept(tmp_path, tokenizer):
    run = stepped(3)
    place = save_run(tmp_path / "run", run, tokenizer, {"data": "toy"})
    assert place == tmp_path / "run" / "step-00000003"
    assert os.listdir(tmp_path / "run") == ["step-00000003"]
    assert sorted(os.listdir(place)) == sorted(RUN_FILES)
    for folder in (place, tmp_path / "run"):
        again, same, about = resume(folder)
        assert (again.step, again.seconds, again.config) == (3, run.seconds, run.config)
        assert about == {"data": "toy"} and len(same) == 270
        assert_same(state_of(again), state_of(run))
        assert load_checkpoint(folder)[2] == {"data": "toy"}


def test_the_newest_checkpoints_stay_and_the_newest_is_taken(tmp_path, tokenizer):
    run = fresh()
    run.config = replace(run.config, keep=3)
    for share in islice(stream(PAIRS, TOKENS, seed=1), 12):
        run.update(share)
        save_run(tmp_path, run, tokenizer, {"step": run.step})
        assert [int(place.name[5:]) for place in steps_in(tmp_path)] == [
            step for step in range(run.step - 2, run.step + 1) if step > 0
        ]
    assert load_checkpoint(tmp_path)[2] == {"step": 12} and resume(tmp_path)[0].step == 12
    assert load_checkpoint(steps_in(tmp_path)[0])[2] == {"step": 10}


def test_other_files_of_a_run_s_folder_stay(tmp_path, tokenizer):
    (tmp_path / "log.jsonl").write_text("{}\n")
    (tmp_path / "pairs").mkdir()
    save_run(tmp_path, stepped(), tokenizer, {"step": 1})
    (tmp_path / "step-00000001").rename(tmp_path / "step-00000001-good")
    for run in (stepped(), stepped(2)):
        run.config = replace(run.config, keep=1)
        save_run(tmp_path, run, tokenizer, {})
    assert sorted(os.listdir(tmp_path)) == [
        *("log.jsonl", "pairs", "step-00000001-good", "step-00000002")
    ]
    assert load_checkpoint(tmp_path)[0].config == SIZES and resume(tmp_path)[0].step == 2


def test_half_a_checkpoint_is_nobody_s_newest(tmp_path, tokenizer):
    """A run killed while it saved goes on from the checkpoint before."""
    save_run(tmp_path, stepped(2), tokenizer, {})
    part = tmp_path / ".step-00000003.part"
    shutil.copytree(tmp_path / "step-00000002", part)
    (part / "run.json").write_text("{")
    assert resume(tmp_path)[0].step == 2
    load_checkpoint(tmp_path)
    save_run(tmp_path, stepped(3), tokenizer, {})
    assert sorted(os.listdir(tmp_path)) == ["step-00000002", "step-00000003"]


def test_a_model_without_a_run_cannot_go_on(tmp_path, tokenizer):
    save_checkpoint(tmp_path / "model", fresh().model, tokenizer)
    with pytest.raises(CheckpointError, match="holds no run to go on with: optimizer.safetensors"):
        resume(tmp_path / "model")
    with pytest.raises(CheckpointError, match="nowhere holds no run to go on with"):
        resume(tmp_path / "nowhere")


@pytest.mark.parametrize("name", RUN_FILES)
def test_a_missing_file_of_a_run_is_named(tmp_path, tokenizer, name):
    place = save_run(tmp_path, stepped(), tokenizer, {})
    (place / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        resume(tmp_path)


@pytest.mark.parametrize("how", ["half", *FOREIGN])
@pytest.mark.parametrize("name", ["optimizer.safetensors", "run.json"])
def test_a_damaged_file_of_a_run_is_one_sentence(tmp_path, tokenizer, name, how):
    place = save_run(tmp_path, stepped(), tokenizer, {})
    damage(place / name, how)
    with pytest.raises(CheckpointError, match="cannot be read") as error:
        resume(tmp_path)
    assert "\n" not in str(error.value) and str(place) in str(error.value)


OTHERS = {
    "wider": TransformerConfig(270, layers=1, d_model=32, d_ff=32, heads=2),
    "deeper": TransformerConfig(270, layers=2, d_model=16, d_ff=32, heads=2),
    "pre-norm": TransformerConfig(270, layers=1, d_model=16, d_ff=32, heads=2, norm_first=True),
    "d_ff": TransformerConfig(270, layers=1, d_model=16, d_ff=64, heads=2),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("swapped", [False, True])
def test_an_optimizer_of_another_model_is_refused(tmp_path, tokenizer, other, swapped):
    """The weights are this model's, Adam's averages are another's: of other names or shapes."""
    places = []
    for sizes in (SIZES, OTHERS[other]):
        run = fresh(sizes)
        run.update(collate(PAIRS))
        places.append(save_run(tmp_path / f"{len(places)}", run, tokenizer, {}))
    mine, theirs = reversed(places) if swapped else places
    shutil.copy(theirs / "optimizer.safetensors", mine)
    with pytest.raises(CheckpointError, match="optimizer.*another model"):
        resume(mine)


def test_a_run_whose_every_step_overflowed_goes_on(tmp_path, tokenizer):
    """Adam has no averages then."""
    run = fresh(precision="fp16")
    run.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    run.optimizer = torch.optim.Adam(run.model.parameters(), fused=False)  # as on PyTorch 2.3
    run.update(collate(PAIRS))
    assert optimizer_tensors(run) == {}
    save_run(tmp_path, run, tokenizer, {})
    again, _, _ = resume(tmp_path)
    assert again.scaler.get_scale() == run.scaler.get_scale() < 2.0**127
    again.update(collate(PAIRS))


def test_this_machine_s_way_to_take_a_step_is_used(tmp_path, tokenizer):
    """A GPU's checkpoint says nothing of how Adam walks over the weights here."""
    run = stepped()
    run.optimizer.param_groups[0] |= {"fused": True, "foreach": None, "capturable": True}
    save_run(tmp_path, run, tokenizer, {})
    again = resume(tmp_path)[0]
    native = fresh().optimizer.param_groups[0]
    for name in ("fused", "foreach", "capturable"):
        assert again.optimizer.param_groups[0][name] == native[name]
    again.update(collate(PAIRS))


@pytest.mark.parametrize("setting", ["highest", "high"])
def test_products_are_taken_as_they_were(tmp_path, tokenizer, setting):
    torch.set_float32_matmul_precision(setting)
    save_run(tmp_path, stepped(), tokenizer, {})
    torch.set_float32_matmul_precision("medium")
    resume(tmp_path)
    assert torch.get_float32_matmul_precision() == setting


# Going on as if nothing had been


def sit(run, tokenizer, folder, until=None):
    """One sitting of a run, with a checkpoint at its end; the loss of each of its steps."""
    shown = []
    parts = run.config.micro_batches
    train(
        run,
        stream(PAIRS, TOKENS, seed=1, start=run.step, micro_batches=parts),
        validate=lambda model: {"validation_loss": model.embedding.weight.sum().item()},
        save=lambda run: save_run(folder, run, tokenizer, {}),
        show=lambda row: shown.append(row["loss"]),
        stop=lambda: run.step == until,
    )
    return shown


def timeless(rows):
    """The rows of a log without what a clock says."""
    return [
        {key: row[key] for key in row.keys() - {"seconds", "tokens_per_second"}} for row in rows
    ]


def run_whole(tokenizer, folder, **settings):
    run = fresh(steps=14, log_every=4, validate_every=6, **settings)
    return run, sit(run, tokenizer, folder)


KINDS = {
    "dropout": {},
    "micro-batches": {"micro_batches": 2},
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
    "no smoothing": {"smoothing": 0.0},
}


def test_the_stops_below_are_at_telling_moments():
    epoch = len(plan(PAIRS, TOKENS, seed=1))
    assert 2 < epoch < 7  # so the runs go over the ends of epochs
    assert 14 % epoch and 6 % 4


@pytest.mark.parametrize("stops", [[1], [4], [5], [6], [13], [2, 3, 7, 12]], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_ends_as_one_that_went_through(tmp_path, tokenizer, kind, stops):
    """Bit for bit: losses, log, weights, averages."""
    whole, expected = run_whole(tokenizer, tmp_path / "whole", **KINDS[kind])
    run, losses = fresh(**{**vars(whole.config)}), []
    for stop in [*stops, None]:
        losses += sit(run, tokenizer, tmp_path / "parts", stop)
        torch.manual_seed(len(losses))  # another process has drawn other numbers
        if stop is not None:
            assert run.step == stop
            run = resume(tmp_path / "parts")[0]
    assert losses == expected
    assert timeless(run.log) == timeless(whole.log)
    assert [row["step"] for row in run.log] == [4, 6, 8, 12, 14]
    assert_same(state_of(run), state_of(whole))
    assert run.scaler.state_dict() == whole.scaler.state_dict()
    assert run.since == whole.since
    again = resume(tmp_path / "parts")[0]
    assert_same(state_of(again), state_of(whole))


def test_a_scale_that_fell_stays_low(tmp_path, tokenizer):
    """fp16: the scaler has found its scale and is on its way to the next; both are kept."""
    settings = {"precision": "fp16", "steps": 9}
    runs = []
    for name in ("whole", "parts"):
        run = fresh(**settings)
        run.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=3)
        runs.append((run, tmp_path / name))
    (whole, place), (run, other) = runs
    expected = sit(whole, tokenizer, place)
    losses = sit(run, tokenizer, other, until=4)
    run = resume(other)[0]
    assert run.scaler.get_scale() < 2.0**127
    assert losses + sit(run, tokenizer, other) == expected
    assert run.scaler.state_dict() == whole.scaler.state_dict()
    assert_same(state_of(run), state_of(whole))


def test_seconds_are_those_of_all_sittings(tmp_path, tokenizer):
    run = fresh(steps=6)
    sit(run, tokenizer, tmp_path, until=3)
    first, run = run.seconds, resume(tmp_path)[0]
    assert run.seconds <= first  # the last save itself is not on it
    before = run.seconds
    sit(run, tokenizer, tmp_path)
    assert run.seconds > before > 0
    assert resume(tmp_path)[0].log[-1]["seconds"] > before


# A full disk

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["save_file", "write_text", "fsync", "replace"])
def test_a_full_disk_is_one_sentence_and_costs_nothing(tmp_path, tokenizer, monkeypatch, where):
    def full(*args, **options):
        raise FULL

    save_run(tmp_path, stepped(2), tokenizer, {})
    owner = {"save_file": checkpoints, "fsync": os}.get(where, Path)
    monkeypatch.setattr(owner, where, full)
    with pytest.raises(CheckpointError, match="step-00000003 cannot be written .No space") as error:
        save_run(tmp_path, stepped(3), tokenizer, {})
    assert "untouched" in str(error.value) and "\n" not in str(error.value)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["step-00000002"]
    assert resume(tmp_path)[0].step == 2


SCRIPT = """
import resource, signal, sys
from pathlib import Path
from annotated.training.checkpoints import CheckpointError, resume, save_run

run, tokenizer, about = resume(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that a write fails as on a full disk
for size in (0, 20_000, 60_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    run.step += 1
    try:
        save_run(sys.argv[1], run, tokenizer, about)
    except CheckpointError as error:
        print(error)
"""


def test_a_file_that_cannot_grow_is_one_sentence_and_costs_nothing(tmp_path, tokenizer):
    """The same through the system's own limit, so that safetensors itself meets it."""
    place = save_run(tmp_path, stepped(2), tokenizer, {})
    sizes = [(place / name).stat().st_size for name in RUN_FILES]
    assert min(sizes[:1]) > 20_000 and sizes[3] > 60_000  # weights, then Adam's averages
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=True
    )
    said = done.stdout.splitlines()
    assert len(said) == 3
    for number, line in enumerate(said, start=3):
        assert f"step-0000000{number} cannot be written" in line and "untouched" in line
    assert os.listdir(tmp_path) == ["step-00000002"]
    assert resume(tmp_path)[0].step == 2


def test_what_is_kept_of_adam_is_named_by_its_weights(tmp_path, tokenizer):
    place = save_run(tmp_path, stepped(), tokenizer, {})
    kept, weights = load_file(place / "optimizer.safetensors"), fresh().model.named_parameters()
    expected = {f"{key}.{name}" for name, _ in weights for key in ("step", "exp_avg", "exp_avg_sq")}
    assert kept.keys() == expected
    assert kept["step.embedding.weight"].item() == 1
    kept["exp_avg.embedding.weight"] += 1
    save_file(kept, place / "optimizer.safetensors")
    assert torch.equal(
        optimizer_tensors(resume(place)[0])["exp_avg.embedding.weight"],
        kept["exp_avg.embedding.weight"],
    )


# For whom, and for how long


def test_all_files_get_what_the_umask_gives(tmp_path, tokenizer):
    for mask in (0o022, 0o027):
        before = os.umask(mask)
        try:
            place = save_run(tmp_path / str(mask), stepped(1), tokenizer, {})
        finally:
            os.umask(before)
        assert {file.stat().st_mode & 0o777 for file in place.iterdir()} == {0o666 & ~mask}


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="no users here")
@pytest.mark.parametrize("name", MODEL_FILES)
def test_a_file_that_may_not_be_read_is_said(tokenizer, name):
    with TemporaryDirectory() as folder:  # not below pytest's, which is for one user alone
        place = Path(folder) / "run"
        save_checkpoint(place, fresh().model, tokenizer)
        Path(folder).chmod(0o755)
        place.chmod(0o755)
        (place / name).chmod(0)
        user = os.geteuid()
        os.seteuid(user or 65534)  # root may read everything
        try:
            with pytest.raises(CheckpointError, match=f"{name} cannot be read: Permission denied"):
                load_checkpoint(place)
        finally:
            os.seteuid(user)


def test_the_disk_has_each_file_before_the_name_and_that_after(tmp_path, tokenizer, monkeypatch):
    done, settle, replace = [], files.settle, Path.replace
    monkeypatch.setattr(files, "settle", lambda path: (done.append(path), settle(path)))
    monkeypatch.setattr(Path, "replace", lambda a, b: (done.append((a, b)), replace(a, b)))
    run = tmp_path / "new" / "run"
    place = save_run(run, stepped(1), tokenizer, {})
    [(part, _)] = [each for each in done if isinstance(each, tuple) and each[1] == place]
    renamed = done.index((part, place))
    above = {tmp_path, tmp_path / "new", run}  # list the folders that were made
    assert {*above, part, *(part / name for name in RUN_FILES)} <= {*done[:renamed]}
    assert done[renamed + 1 :] == [run]
