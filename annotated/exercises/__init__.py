"""Exercises that say whether they are solved: `check("attention-3", window_mask)`."""

from typing import Any

from annotated.exercises import data, evidence, model, training, translation, variations
from annotated.exercises.checker import Arguments, Exercise, verdict

EXERCISES = (
    model.EXERCISES
    | data.EXERCISES
    | training.EXERCISES
    | translation.EXERCISES
    | evidence.EXERCISES
    | variations.EXERCISES
)


def check(name: str, answer: Any) -> None:
    """Print whether an answer is right, and if not, on which input, and what is often the cause.

    name: as the page of the exercise says it; answer: your function, or where a number, a shape
    or a text is to be predicted, that. Raises ValueError where there is no such exercise.
    """
    print(verdict(name, exercise(name), answer)[1])


def inputs(name: str) -> list[Arguments]:
    """The arguments that an answer is tried on, a tuple for each try, to look at or to run."""
    return exercise(name).inputs()


def exercise(name: str) -> Exercise:
    """The exercise of that name; ValueError where there is none."""
    if name not in EXERCISES:
        raise ValueError(f"no exercise {name!r} is checked: there are {', '.join(EXERCISES)}")
    return EXERCISES[name]
