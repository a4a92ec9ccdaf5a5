"""How what came out differs from what should have, and how either is shown in a line."""

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

RELATIVE, ABSOLUTE = 1e-4, 1e-5  # a sum may be taken in another order
NUMBERS, LINE = 6, 72  # of a tensor that are shown; characters of a list


def plain(x: Any) -> Any:
    """A number is a number, however it is wrapped; a tuple is a list."""
    if isinstance(x, Tensor | np.ndarray) and x.ndim == 0:
        x = x.item()
    if isinstance(x, bool | np.bool_):
        return bool(x)
    if isinstance(x, Integral):
        return int(x)
    if isinstance(x, Real):
        return float(x)
    return list(x) if isinstance(x, tuple) else x


def kind(x: Any) -> str:
    """What a reader calls the type."""
    x = plain(x)
    if x is None:
        return "None (is there a return?)"
    if isinstance(x, int | float) and not isinstance(x, bool):
        return "a number"
    if isinstance(x, Tensor):
        return "Tensor"  # a parameter, too
    return {list: "a list or tuple", bool: "True or False", str: "a text"}.get(
        type(x), type(x).__name__
    )


def difference(got: Any, wanted: Any) -> str | None:
    """In what the two differ, type before shape before values; None where they agree."""
    got, wanted = plain(got), plain(wanted)
    if kind(got) != kind(wanted):
        return f"the type: {kind(got)} instead of {kind(wanted)}"
    if isinstance(wanted, Tensor):
        return tensor_difference(got.detach().cpu().to_dense(), wanted.detach())
    if isinstance(wanted, list):
        if len(got) != len(wanted):
            return f"the length: {len(got)} instead of {len(wanted)}"
        return first_difference(enumerate(wanted), got)
    if isinstance(wanted, dict):
        if got.keys() != wanted.keys():
            return f"the keys: {list(got)} instead of {list(wanted)}"
        return first_difference(wanted.items(), got)
    close = isinstance(wanted, float) and math.isclose(
        got, wanted, rel_tol=RELATIVE, abs_tol=ABSOLUTE
    )
    return None if close or got == wanted else instead(got, wanted)


def first_difference(items: Any, got: Any) -> str | None:
    """Where a list or a dictionary begins to differ: items are what should be there."""
    for place, wanted in items:
        if found := difference(got[place], wanted):
            return f"at [{place!r}], {found}"
    return None


def tensor_difference(got: Tensor, wanted: Tensor) -> str | None:
    """The shape, the type of the numbers, or the first that differs."""
    if got.shape != wanted.shape:
        return f"the shape: {tuple(got.shape)} instead of {tuple(wanted.shape)}"
    if got.dtype != wanted.dtype:
        return f"the dtype: {name_of(got.dtype)} instead of {name_of(wanted.dtype)}"
    close = (RELATIVE, ABSOLUTE) if got.is_floating_point() else (0.0, 0.0)
    same = torch.isclose(got, wanted, *close, equal_nan=got.is_floating_point())
    if same.all():
        return None
    first = tuple((~same).nonzero()[0].tolist())
    where = f"at {list(first)}, {instead(got[first], wanted[first])}"
    return f"{int((~same).sum())} of {same.numel()} numbers, the first {where}"


def instead(got: Any, wanted: Any) -> str:
    """The two, with as many digits as it takes to tell them apart."""
    texts = [(show(got, digits), show(wanted, digits)) for digits in (4, 6, 9)]
    mine, theirs = next((each for each in texts if each[0] != each[1]), texts[-1])
    return f"{mine} instead of {theirs}"


def name_of(dtype: torch.dtype) -> str:
    """`float32`, for one."""
    return str(dtype).removeprefix("torch.")


def words(x: Tensor, most: int) -> list[str]:
    """The first numbers of a tensor; of a mask the first rows, in zeros and ones."""
    if x.dtype != torch.bool:
        return [show(number) for number in x.flatten()[:most]]
    rows = x.int().flatten(0, -2) if x.ndim > 1 else x.int()[None]
    return ["".join(map(str, row)) for row in rows[:most].tolist()]


def show(x: Any, digits: int = 4) -> str:
    """A value in a line: of a tensor the type, the shape and the first numbers."""
    x = plain(x)
    if isinstance(x, Tensor):
        numbers = words(x, NUMBERS + 1)
        rest = ["..."] if len(numbers) > NUMBERS else []
        return f"{name_of(x.dtype)} {tuple(x.shape)}: {' '.join(numbers[:NUMBERS] + rest)}"
    if isinstance(x, float):
        return f"{x:.{digits}g}"
    if isinstance(x, list):
        text = f"[{', '.join(map(show, x))}]"
    elif isinstance(x, dict):
        text = f"{{{', '.join(f'{key}: {show(value)}' for key, value in x.items())}}}"
    elif isinstance(x, torch.nn.Module):
        text = f"a {type(x).__name__}"
    else:
        text = " ".join(repr(x).split())
    return text if len(text) <= LINE else f"{text[:LINE]} ..."
