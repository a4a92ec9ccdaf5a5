"""annotated ablate: rows of Table 3, each run a process; stopped, it goes on; shared out."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from annotated.cli import ablate
from annotated.cli.main import main
from annotated.evidence.variations import ROWS
from annotated.files import alone

TINY = (
    "--layers 3 --d-model 32 --d-ff 16 --vocab-size 300 --train-pairs 60 --batch-tokens 200 "
    "--matmul-precision highest --validate-every 2 --log-every 1 --steps 2"
).split()
PLACE = "toy-60"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def options(**given):
    return ablate.Options(given=given, **given)


def trials(minutes=None, **own):
    given = {"matmul_precision": "highest", "layers": 3, "d_model": 32}
    given |= {"minutes": minutes} if minutes else {}
    return ablate.trials_of(ablate.Options(given=given, train_pairs=60, **own))


def record(folder, name):
    path = folder / "results" / "ablation" / PLACE / f"{name}.json"
    return json.loads(path.read_text("utf-8"))


def command(*words):
    return [sys.executable, "-m", "annotated", "ablate", *TINY, *words]


def test_a_run_leaves_its_record_and_is_not_done_again(folder, capfd):
    assert main(["ablate", *TINY, "--rows", "D3"]) == 0
    printed, said = capfd.readouterr()
    assert [line.split()[0] for line in printed.splitlines()] == ["row", "D3"]
    assert said.startswith("1 runs, 0 of them recorded\n") and "(1 of 1 runs)" in said
    found = record(folder, "D3-1")
    assert (found["name"], found["row"], found["seed"]) == ("D3-1", "D3", 1)
    assert found["changes"] == {"smoothing": 0.0} and found["data"]["name"] == "toy"
    assert found["data"]["splits"]["train"]["pairs"] == 60
    assert found["config"]["training"]["smoothing"] == 0 and found["config"]["model"]["layers"] == 3
    assert found["curve"][-1].keys() >= {"validation_loss"} and found["scores"]["validation"]
    train, evaluate = found["commands"]
    assert "--seed 1" in train and "--no-norm-first" in train and "--split validation" in evaluate
    assert found["command"].startswith("annotated ablate --layers 3")
    before = (folder / f"results/ablation/{PLACE}/D3-1.json").read_text()
    assert main(["ablate", *TINY, "--rows", "D3"]) == 0
    assert "1 runs, 1 of them recorded" in capfd.readouterr().err
    assert (folder / f"results/ablation/{PLACE}/D3-1.json").read_text() == before
    assert main(["ablate", *TINY, "--steps", "3", "--rows", "D3"]) == 2  # of another base
    assert "D3-1.json has --steps 2, not 3: name another --out" in capfd.readouterr().err


def test_stopped_it_goes_on_where_it_was(folder):
    words = command("--rows", "base", "--steps", "400", "--validate-every", "5")
    first = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    place = folder / "runs" / "ablation" / PLACE / "base-1"
    for _ in range(6000):
        if list(place.glob("step-*")):
            break
        time.sleep(0.1)
    first.send_signal(signal.SIGTERM)
    _, said = first.communicate(timeout=600)
    assert first.returncode == 143 and "the same command goes on" in said
    [newest] = sorted(place.glob("step-*"))[-1:]
    done = int(newest.name[5:])
    assert 0 < done < 400
    for each in ablate.trials_of(ablate.Options(**SMALL)):
        assert each.next()[:2] == ["train", "--resume"]


SMALL = {
    "given": {
        **{"layers": 3, "d_model": 32, "d_ff": 16, "vocab_size": 300, "train_pairs": 60},
        **{"batch_tokens": 200, "matmul_precision": "highest", "validate_every": 5, "log_every": 1},
        **{"steps": 400},
    },
    "train_pairs": 60,
    "rows": ["base"],
}


def test_a_run_goes_through_training_scoring_and_its_record(folder, monkeypatch):
    [trial] = trials(rows=["B1"])
    words = trial.next()
    assert words[:5] == ["train", "--data", "toy", "--pair", "en-de"]
    for name, value in (("--d-k", "1"), ("--seed", "1"), ("--train-pairs", "60")):
        assert words[words.index(name) + 1] == value
    assert "--no-norm-first" in words  # where the recipe of the corpus has it
    (trial.folder / "step-00000003").mkdir(parents=True)
    facts = {"step": 3, "seconds": 9.0}
    monkeypatch.setattr(ablate, "complete", lambda folder: folder)
    monkeypatch.setattr(ablate, "training_facts", lambda place: facts)
    assert trial.next() == ["train", "--resume", str(trial.folder)]
    facts["step"] = 1000
    assert trial.next()[:3] == ["evaluate", "--model", str(trial.folder)]
    trial.scores.write_text(json.dumps({"name": "scores", "examples": [1], "command": "x"}))
    assert trial.next() is None
    trial.finish()
    found = json.loads(trial.path.read_text("utf-8"))
    assert (found["name"], found["row"], found["seed"]) == ("B1-1", "B1", 1)
    assert "examples" not in found


def test_minutes_end_a_run_too(folder, monkeypatch):
    [trial] = trials(rows=["base"], minutes=2.0)
    monkeypatch.setattr(ablate, "complete", lambda folder: folder)
    monkeypatch.setattr(ablate, "training_facts", lambda place: {"step": 3, "seconds": 121.0})
    assert trial.is_trained()


def test_a_run_that_fails_says_why_and_the_others_go_on(folder, monkeypatch, capfd):
    def spoilt(trial):
        if trial.row == "D1":
            return ["train", "--resume", "nowhere"]
        trial.folder.mkdir(parents=True, exist_ok=True)
        scores = {"curve": [{"validation_loss": 1.0}], "scores": {"validation": {"bleu": 1.0}}}
        scores["config"] = {"model": {"parameters": 1}}
        trial.scores.write_text(json.dumps(scores))
        return None

    monkeypatch.setattr(ablate.Trial, "next", spoilt)
    assert main(["ablate", *TINY, "--rows", "D1", "D2", "--jobs", "1"]) == 2
    printed, said = capfd.readouterr()
    assert "D1-1: annotated: nowhere holds no run to go on with" in said and "(2 of 2" in said
    assert [line.split()[0] for line in printed.splitlines()] == ["row", "D2"]


def test_what_another_process_is_at_work_on_is_left_to_it(folder):
    place = folder / "runs" / "x"
    assert not ablate.is_busy(place)
    with alone(place):
        assert ablate.is_busy(place)
    assert not ablate.is_busy(place)


def test_shards_share_all_runs_out_and_none_twice():
    everything = [trial.name for trial in trials(seed=[1, 2])]
    assert len(everything) == 2 * len(ROWS) and everything[0] == "base-1"
    parts = [[trial.name for trial in trials(seed=[1, 2], shard=f"{i}/3")] for i in (1, 2, 3)]
    assert sorted(sum(parts, [])) == sorted(everything)


def test_torchrun_shares_them_out_too(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert [trial.name for trial in trials(rows=["A", "base"])] == ["A1-1"]
    assert ablate.share("2/2") == (1, 2)  # what is said goes before


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0", ""])
def test_a_shard_that_is_none_is_said(shard, capsys):
    assert main(["ablate", "--shard", shard, "--matmul-precision", "highest"]) == 2
    assert capsys.readouterr().err.startswith("annotated: --shard is such as 2/3")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--rows", "F"], "Table 3 has no row F: it has base, A1"),
        (["--layers", "2", "--rows", "C"], "row C1 has no whole layers beside a base of 2"),
        (["--seed", "-1"], "--seed is a whole number from 0"),
        (["--train-pairs", "0"], "--train-pairs is a whole number from 1"),
        (["--d-model", "12", "--rows", "A"], "d_model 12 is not divisible by 16 heads"),
    ],
)
def test_what_cannot_be_is_said_before_anything_takes_long(words, sentence, capsys):
    assert main(["ablate", "--matmul-precision", "highest", *words]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1


def test_there_are_as_many_places_as_cores_and_memory_allow(monkeypatch):
    [trial] = trials(rows=["base"])
    monkeypatch.setattr(ablate, "cores", lambda: 8)
    monkeypatch.setattr(ablate, "memory", lambda: 4e9)
    cpu = {"device": "cpu"}
    assert ablate.places(options(**cpu), [trial]) == [{"OMP_NUM_THREADS": "4"}] * 2
    monkeypatch.setattr(ablate, "memory", lambda: 1e12)
    assert ablate.places(options(**cpu), [trial]) == [{"OMP_NUM_THREADS": "1"}] * 8
    assert ablate.places(options(jobs=3, **cpu), [trial]) == [{"OMP_NUM_THREADS": "2"}] * 3
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert len(ablate.places(options(**cpu), [trial])) == 3


def test_a_gpu_is_a_place(monkeypatch):
    [trial] = trials(rows=["base"])
    monkeypatch.setattr(ablate.Options, "find_device", lambda self: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    two = [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]
    assert ablate.places(options(), [trial]) == two
    assert ablate.places(options(jobs=4), [trial]) == two * 2
    assert ablate.places(options(jobs=1), [trial]) == two[:1]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert ablate.places(options(jobs=2), [trial])[1] == {"CUDA_VISIBLE_DEVICES": "7"}


def test_a_run_does_not_take_itself_for_a_worker_of_torchruns(folder, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("MASTER_ADDR", "here")
    [trial] = trials(rows=["base"])
    seen = {}

    class Process:
        def __init__(self, words, env, **others):
            seen.update(env)

    monkeypatch.setattr(subprocess, "Popen", Process)
    ablate.advance(trial, {"OMP_NUM_THREADS": "3"})
    assert seen["OMP_NUM_THREADS"] == "3" and not seen.keys() & {"RANK", "MASTER_ADDR"}
    assert os.environ["RANK"] == "0"


def test_a_terminal_shows_the_table_in_place(folder, monkeypatch, capsys):
    monkeypatch.setattr(ablate, "can_redraw", lambda file: True)
    monkeypatch.setattr(ablate, "room", lambda file: (60, 30))
    screen, [trial] = ablate.Screen(), trials(rows=["base"])
    trial.process = object()
    trial.folder.mkdir(parents=True)
    (trial.folder / "log.jsonl").write_text('{"step": 250}\n')
    screen.draw([trial])
    screen.draw([trial])
    said = capsys.readouterr().err
    assert said.count("base-1    25%") == 2 and f"\x1b[{screen.height}F\x1b[J" in said
