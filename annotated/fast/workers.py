# Tangled from chapters/fast/at-scale.md: change it there, then run `make tangle`.
"""The workers of a run: processes that torchrun starts, each with a part of every step."""

import os
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")

PATIENCE = timedelta(hours=3)  # while the first worker encodes a large corpus, others wait


class WorkerError(ValueError):
    """Workers that cannot find each other: one sentence."""


def world_size() -> int:
    """How many workers there are; 1 where nobody started more."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This worker's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def join_group(device: torch.device) -> torch.device:
    """Meet the other workers, if torchrun started this process; returns this worker's device.

    Gloo connects CPUs, NCCL connects GPUs. Raises WorkerError where they cannot be reached.
    """
    if "RANK" not in os.environ:
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise WorkerError(f"the workers cannot find each other: {reason}") from None
    return device


def leave() -> None:
    """Part from the other workers, at the end of a run."""
    if dist.is_initialized():
        dist.destroy_process_group()


def wait() -> None:
    """Go on when all workers have come this far."""
    if world_size() > 1:
        dist.barrier()


def total(value: Tensor) -> Tensor:
    """The sum of every worker's value: a scalar that all of them get."""
    if world_size() > 1:
        dist.all_reduce(value)
    return value


def agree(*flags: bool) -> list[bool]:
    """For each flag whether any worker raised it, so that all do the same."""
    if world_size() == 1:
        return [*flags]
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    raised = torch.tensor(flags, dtype=torch.int32, device=device)
    dist.all_reduce(raised, dist.ReduceOp.MAX)
    return [bool(flag) for flag in raised.tolist()]


def first(work: Callable[[], T]) -> T:
    """What `work` returns on the first worker, for all of them: the others wait for a copy.

    Where it raises, the first worker does, and the others exit with status 2 and no word.
    """
    if world_size() == 1:
        return work()
    box: list[Any] = [None]
    try:
        if rank() == 0:
            box = [(work(),)]
    finally:
        dist.broadcast_object_list(box)
    if box[0] is None:
        raise SystemExit(2)
    return box[0][0]


def wrap(objective: nn.Module, compiled: bool) -> nn.Module:
    """The objective as PyTorch's compiler and its DistributedDataParallel want it, if asked for."""
    if compiled:
        objective.compile(dynamic=True)
    if world_size() == 1:
        return objective
    with warnings.catch_warnings():  # newer versions call broadcast_buffers forward_sync_buffers
        warnings.simplefilter("ignore", FutureWarning)
        # no buffers: a table of sinusoids may have grown on one worker only
        return DistributedDataParallel(objective, broadcast_buffers=False)


def gradients_meet(objective: nn.Module, now: bool) -> AbstractContextManager[None]:
    """Whether the gradients of all workers are averaged in a backward pass inside, or later."""
    if now or not isinstance(objective, DistributedDataParallel):
        return nullcontext()
    return objective.no_sync()
