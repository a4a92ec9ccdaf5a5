"""Workers: two processes take the steps that one would take."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from annotated.fast import workers
from annotated.fast.workers import (
    WorkerError,
    agree,
    first,
    gradients_meet,
    join_group,
    leave,
    total,
    wait,
    wrap,
)

SCRIPT = """
import json, os, sys
import torch
from annotated.fast import workers
from annotated.data.steps import stream
from annotated.training.loop import Run, TrainingConfig
from annotated.model.transformer import Transformer, TransformerConfig

torch.set_num_threads(1)
workers.join_group(torch.device("cpu"))
rank, ranks, micro_batches = workers.rank(), workers.world_size(), int(sys.argv[1])
pairs = [([5 + i, 6], [7] * (1 + i % 4)) for i in range(9)]  # shares of unequal tokens
torch.manual_seed(rank)  # the workers start with the first one's weights all the same
model = Transformer(TransformerConfig(40, 2, 16, 32, 2, dropout=0.0)).double()
run = Run(model, TrainingConfig(warmup=10, micro_batches=micro_batches))
losses = []
for step, share in zip(range(4), stream(pairs, 20, 1, 0, rank, ranks, micro_batches)):
    losses.append(run.update(share))
    if step == 0:
        gradients = [weight.grad.flatten().tolist() for weight in model.parameters()]
flags = workers.agree(rank == 1, rank == 0, False)
if rank == 0:
    weights = [weight.flatten().tolist() for weight in model.parameters()]
    found = {"losses": losses, "gradients": gradients, "weights": weights, "flags": flags}
    json.dump(found, open(sys.argv[2], "w"))
workers.leave()
os._exit(0)  # as the command line: DDP keeps Gloo's threads, and a shutdown can abort in one
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def trained(folder, processes, micro_batches=1):
    """What the first of some processes saw in four steps."""
    script, out = folder / "script.py", folder / f"{processes}-{micro_batches}.json"
    script.write_text(SCRIPT)
    port, running = free_port(), []
    for rank in range(processes):
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        if processes > 1:
            env |= {"RANK": str(rank), "WORLD_SIZE": str(processes), "LOCAL_RANK": str(rank)}
            env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        words = [sys.executable, str(script), str(micro_batches), str(out)]
        running.append(subprocess.Popen(words, env=env))
    assert [process.wait(timeout=120) for process in running] == [0] * processes
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("alone"), 1)


@pytest.mark.parametrize("micro_batches", [1, 3])
def test_two_processes_take_the_steps_of_one(tmp_path, alone, micro_batches):
    together = trained(tmp_path, 2, micro_batches)
    assert together["losses"] == pytest.approx(alone["losses"], rel=1e-12)
    for kind in ("gradients", "weights"):
        for one, other in zip(alone[kind], together[kind], strict=True):
            assert torch.allclose(torch.tensor(one), torch.tensor(other), rtol=1e-6, atol=1e-9)
    assert together["flags"] == [True, True, False]


FIRST = """
import os, sys
import torch
from annotated.fast import workers
from annotated.data.tokenizer import Tokenizer

workers.join_group(torch.device("cpu"))
tokenizer = workers.first(lambda: Tokenizer.train(["a b"] * workers.world_size(), 300))
assert len(tokenizer.encode("<pad>")) > 1
assert workers.first(lambda: int(os.environ["RANK"])) == 0 and workers.first(lambda: None) is None
try:
    workers.first(lambda: 1 / 0)
finally:
    workers.leave()
"""


def test_what_the_first_finds_all_have_and_its_errors_are_its_own(tmp_path):
    script, port, running = tmp_path / "script.py", free_port(), []
    script.write_text(FIRST)
    for rank in range(2):
        env = {**os.environ, "OMP_NUM_THREADS": "1", "RANK": str(rank), "WORLD_SIZE": "2"}
        env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        words = [sys.executable, str(script)]
        running.append(subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True))
    errors = [process.communicate(timeout=120)[1] for process in running]
    assert "ZeroDivisionError" in errors[0] and "Traceback" not in errors[1]
    assert [process.returncode for process in running] == [1, 2], errors


def test_one_process_is_one_worker(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    assert join_group(torch.device("cpu")) == torch.device("cpu")
    assert (workers.rank(), workers.world_size()) == (0, 1)
    wait()
    assert total(torch.tensor(3.0)).item() == 3.0
    assert agree(True, False) == [True, False]
    assert first(lambda: 3) == 3
    model = nn.Linear(2, 1)
    assert wrap(model, compiled=False) is model


def test_gradients_travel_with_the_last_part_only(tmp_path):
    dist.init_process_group("gloo", f"file://{tmp_path / 'group'}", rank=0, world_size=1)
    try:
        model = DistributedDataParallel(nn.Linear(2, 1))
        for now in (False, True):
            with gradients_meet(model, now):
                assert model.require_backward_grad_sync == now
    finally:
        leave()


def test_a_port_in_use_is_one_sentence(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for name, value in {
            "RANK": "0",
            "WORLD_SIZE": "1",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(WorkerError, match="cannot find each other") as error:
            join_group(torch.device("cpu"))
    assert "\n" not in str(error.value) and str(port) in str(error.value)
