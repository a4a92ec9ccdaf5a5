"""What an exercise is, and what is said of an answer to it."""

import inspect
import linecache
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import annotated
from annotated.exercises.comparison import difference, plain, show

Arguments = tuple[Any, ...]
NOT_THE_READERS = [Path(annotated.__file__).parent] + [
    Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")
]


@dataclass(frozen=True)
class Exercise:
    """A task: its answer, the inputs that an answer is tried on, and the usual mistakes."""

    answer: Callable[..., Any]
    tries: Callable[[], Sequence[Arguments]]  # drawn anew each time, from the same seed
    mistakes: dict[str, Callable[..., Any]] = field(default_factory=dict)  # by what to say
    objection: Callable[[Callable[..., Any]], str] = lambda function: ""  # to right numbers

    def inputs(self) -> list[Arguments]:
        """The same at every call."""
        with seeded():
            return list(self.tries())

    def outcomes(self, function: Callable[..., Any]) -> list[Any]:
        """What a function makes of each input, which it may change: it is its own copy."""
        return [outcome(function, arguments) for arguments in self.inputs()]

    @property
    def asks_for_a_value(self) -> bool:
        """Whether it is to be predicted, not built."""
        return self.inputs() == [()]


def predicted(answer: Any, mistakes: dict[str, Any]) -> Exercise:
    """An exercise whose answer is a value, and so are the mistakes."""
    return Exercise(
        always(answer), lambda: [()], {why: always(value) for why, value in mistakes.items()}
    )


def always(value: Any) -> Callable[[], Any]:
    """A function without arguments that returns the value."""
    return lambda: value


@contextmanager
def seeded() -> Iterator[None]:
    """A seed inside; the random numbers outside go on as if nothing had been."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@dataclass(frozen=True)
class Raised:
    """A call that ended in an error. Two are equal where their errors are of one type."""

    error: Exception

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Raised) and type(self.error) is type(other.error)


def outcome(function: Callable[..., Any], arguments: Arguments) -> Any:
    """What the function returns, or the error that it raises."""
    try:
        with seeded():
            return function(*arguments)
    except Exception as error:
        return Raised(error)


def own_line(error: Exception) -> list[str]:
    """The last line of the reader's own on the way to an error, where there is one."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not any(Path(frame.filename).is_relative_to(place) for place in NOT_THE_READERS):
            source = linecache.getline(frame.filename, frame.lineno or 0).strip()
            return [f"in line {frame.lineno} of {frame.name}: {source}".rstrip(": ")]
    return []


def verdict(name: str, exercise: Exercise, answer: Any) -> tuple[bool, str]:
    """Whether an answer is right, and what to say of it."""
    if exercise.asks_for_a_value == callable(answer):
        return False, f"{name}: {misunderstood(exercise)}"
    function = answer if callable(answer) else always(answer)
    wanted, got = exercise.outcomes(exercise.answer), exercise.outcomes(function)
    for i, (mine, theirs) in enumerate(zip(got, wanted, strict=True)):
        if found := difference(mine, theirs):
            lines = said(name, exercise, i, mine, theirs, found)
            return False, "\n  ".join([f"{name}: not yet.", *lines, *diagnosis(exercise, i, got)])
    if not callable(answer):
        return True, f"{name}: right."
    if objection := exercise.objection(function):
        return False, f"{name}: not yet.\n  The numbers are right, but {objection}"
    return True, f"{name}: right, on {len(got)} inputs.{remark(changed(exercise, function))}"


def changed(exercise: Exercise, function: Callable[..., Any]) -> list[str]:
    """The names of the arguments that a function writes into."""
    names, found = inspect.signature(exercise.answer).parameters, []
    for used, kept in zip(exercise.inputs(), exercise.inputs(), strict=True):
        outcome(function, used)
        arguments = zip(names, used, kept, strict=False)
        found += [each for each, x, y in arguments if difference(state(x), state(y))]
    return list(dict.fromkeys(found))


def state(x: Any) -> Any:
    """What can be changed of an argument."""
    return x.state_dict() if isinstance(x, torch.nn.Module) else x


def remark(names: list[str]) -> str:
    """What to say of arguments that were changed."""
    return f" But it changes {' and '.join(names)}: work on a copy." if names else ""


def misunderstood(exercise: Exercise) -> str:
    """What to say where a value came for a function, or the other way round."""
    if exercise.asks_for_a_value:
        return "asks for a value, not for a function."
    return "asks for a function: hand over its name, without calling it."


def said(name: str, exercise: Exercise, i: int, got: Any, wanted: Any, found: str) -> list[str]:
    """What there is to say of a wrong answer on the i-th input; of a prediction, not too much."""
    if exercise.asks_for_a_value:
        return [f"You said {show(got)}.{hint(plain(got), plain(wanted))}"]
    names = inspect.signature(exercise.answer).parameters
    arguments = zip(names, exercise.inputs()[i], strict=False)  # the rest have defaults
    shown = [f"{each} = {show(x)}" for each, x in arguments]
    lines = [f'On inputs("{name}")[{i}]:', *(f"  {each}" for each in shown)]
    if isinstance(got, Raised):
        message = str(got.error).strip().split("\n")[0]
        return [*lines, f"{type(got.error).__name__}: {message}", *own_line(got.error)]
    lines += [f"came out:        {show(got)}", f"should come out: {show(wanted)}"]
    return [*lines, f"difference:      {found}"]


def hint(got: Any, wanted: Any) -> str:
    """Where a number lies from the one that is looked for."""
    if not isinstance(wanted, int | float) or not isinstance(got, int | float):
        return ""
    return " It is less." if wanted < got else " It is more."


def diagnosis(exercise: Exercise, i: int, got: list[Any]) -> list[str]:
    """The usual mistake that gives just what came out on the i-th input: on all, or perhaps."""
    found = {}
    for why, mistake in exercise.mistakes.items():
        pairs = zip(got, exercise.outcomes(mistake), strict=True)
        same = [difference(mine, theirs) is None for mine, theirs in pairs]
        if same[i]:
            found[why] = sum(same)
    best = max(found, key=lambda why: found[why], default="")
    return [best if found[best] == len(got) else f"Perhaps: {best}"] if found else []
