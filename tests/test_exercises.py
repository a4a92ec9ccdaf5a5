"""The exercises' checker: right answers, usual mistakes by name, errors, wrong shapes and types."""

import ast
import functools
import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from annotated.exercises import EXERCISES, check, exercise, inputs
from annotated.exercises.checker import Exercise, outcome, verdict
from annotated.exercises.comparison import difference, show
from tools import chapters

BUILD = [name for name, each in EXERCISES.items() if not each.asks_for_a_value]
PREDICT = [name for name in EXERCISES if name not in BUILD]
MISTAKES = [(name, why) for name, each in EXERCISES.items() for why in each.mistakes]


def answer(name, function):
    """What a reader hands over: the function, or where a value is asked for, what it returns."""
    return function if name in BUILD else function()


def said(name, given):
    return verdict(name, exercise(name), given)


@pytest.mark.parametrize("name", EXERCISES)
def test_the_answer_is_right(name):
    right, text = said(name, answer(name, EXERCISES[name].answer))
    assert right and text.startswith(f"{name}: right") and "\n" not in text


@pytest.mark.parametrize("name", EXERCISES)
def test_at_least_two_mistakes_are_known(name):
    assert len(EXERCISES[name].mistakes) >= 2


@pytest.mark.parametrize("name, why", MISTAKES)
def test_each_mistake_is_called_by_its_name(name, why):
    right, text = said(name, answer(name, EXERCISES[name].mistakes[why]))
    assert not right and text.endswith(f"\n  {why}")


@pytest.mark.parametrize("name", BUILD)
def test_an_error_is_reported_with_the_line(name):
    def mine(*arguments):
        return {}["missing"]  # of the reader

    right, text = said(name, mine)
    assert not right and "KeyError: 'missing'" in text
    assert re.search(r'in line \d+ of mine: return \{\}\["missing"\]  # of the reader', text)


@pytest.mark.parametrize("name", BUILD)
def test_none_and_a_foreign_type_are_named(name):
    right, text = said(name, lambda *arguments: None)
    assert not right and "None (is there a return?)" in text
    right, text = said(name, lambda *arguments: {1, 2})
    assert not right and "the type: set instead of" in text


@pytest.mark.parametrize("name", BUILD)
def test_another_shape_is_named(name):
    def longer(*arguments):
        out = EXERCISES[name].answer(*arguments)
        return out[None] if isinstance(out, torch.Tensor) else [out, out]

    right, text = said(name, longer)
    assert not right and re.search("the (shape|type|length)", text)


@pytest.mark.parametrize("name", EXERCISES)
def test_no_answer_is_an_error_or_no_number(name):
    for wanted in EXERCISES[name].outcomes(EXERCISES[name].answer):
        assert difference(wanted, wanted) is None
        assert "nan" not in show(wanted) and "Raised" not in type(wanted).__name__


@pytest.mark.parametrize("name", BUILD)
def test_inputs_are_the_same_at_every_call_and_leave_the_dice_alone(name):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    one, other = inputs(name), inputs(name)
    check(name, EXERCISES[name].answer)
    assert torch.equal(torch.rand(3), expected)
    assert [show(list(each)) for each in one] == [show(list(each)) for each in other]


def test_the_message(capsys):
    check("attention-2", lambda query, key: (query @ key.mT / query.size(-1) ** 0.5).softmax(-2))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["attention-2: not yet.", '  On inputs("attention-2")[0]:']
    assert lines[2].startswith("    query = float32 (2, 4): ")
    assert lines[4].startswith("  came out:        float32 (2, 3): ")
    assert lines[5].startswith("  should come out: float32 (2, 3): ")
    assert re.fullmatch(r"  difference:      6 of 6 numbers, the first at \[0, 0\], .*", lines[6])
    assert lines[7].startswith("  Your rows sum to one along the wrong dimension")
    assert max(map(len, lines)) < 110


def test_a_right_answer_is_one_line(capsys):
    check("attention-2", lambda query, key: (query @ key.mT / query.size(-1) ** 0.5).softmax(-1))
    assert capsys.readouterr().out == "attention-2: right, on 3 inputs.\n"


def test_an_unknown_mistake_is_not_named(capsys):
    check("attention-2", lambda query, key: torch.full((2, 3), 0.25))
    assert "difference: " in capsys.readouterr().out.splitlines()[-1]


def test_a_mistake_that_fits_one_input_only_is_a_guess():
    text = said("scores-4", lambda output, references, n: len({*output} & {*references[0]}))[1]
    assert text.splitlines()[-1].startswith("  Perhaps: A single reference is enough")


def test_a_call_in_place_of_its_function_and_the_other_way_round(capsys):
    check("attention-3", torch.ones(2, 2))
    check("optimizer-1", lambda: 64_000)
    assert capsys.readouterr().out.splitlines() == [
        "attention-3: asks for a function: hand over its name, without calling it.",
        "optimizer-1: asks for a value, not for a function.",
    ]


def test_a_prediction_does_not_tell_the_answer(capsys):
    for value, hint in ((10, "It is more."), (100_000, "It is less.")):
        check("optimizer-1", value)
        out = capsys.readouterr().out
        assert hint in out and "64" not in out


def test_other_kinds_of_functions(capsys):
    class Doubled(torch.nn.Module):
        def forward(self, mean, new, n):
            return mean + (new - mean) / (n + 1)

    check("scores-5", Doubled())
    check("scores-5", functools.partial(lambda mean, new, n: (n * mean + new) / (n + 1)))
    assert capsys.readouterr().out == "scores-5: right, on 3 inputs.\n" * 2


def test_too_few_arguments_have_no_line_of_the_readers_own():
    right, text = said("attention-3", lambda length: None)
    assert not right and "takes 1 positional argument but 2 were given" in text
    assert "in line" not in text


def test_the_line_is_the_readers_and_not_a_librarys():
    def mine(query, key):
        return query @ key  # shapes do not fit

    _, text = said("attention-2", mine)
    assert "RuntimeError" in text and "of mine: return query @ key  # shapes do not fit" in text


def test_a_right_answer_that_changes_its_inputs_is_told_so():
    def mine(query, key):
        query /= query.size(-1) ** 0.5
        return (query @ key.mT).softmax(-1)

    right, text = said("attention-2", mine)
    assert right and text.endswith("right, on 3 inputs. But it changes query: work on a copy.")
    assert said("attention-2", EXERCISES["attention-2"].answer)[1].endswith("on 3 inputs.")


def test_a_layer_is_an_input_that_may_be_changed():
    def mine(layer, x, head):
        width = layer.output.in_features // layer.heads
        with torch.no_grad():
            layer.output.weight[:, head * width : (head + 1) * width] = 0
        return layer(x, x)

    assert said("attention-5", mine)[1].endswith("But it changes layer: work on a copy.")


def test_a_loop_is_no_scan():
    def loop(f, g):
        c, found = torch.zeros_like(g[:, 0]), []
        for t in range(g.size(1)):
            c = f[:, t] * c + g[:, t]
            found.append(c)
        return torch.stack(found, 1)

    def in_place(f, g):
        f, g, back = f.clone(), g.clone(), 1
        while back < g.size(1):
            g[:, back:] += f[:, back:] * g[:, :-back].clone()
            f[:, back:] *= f[:, :-back].clone()
            back *= 2
        return g

    right, text = said("why-3", loop)
    assert not right and text.startswith("why-3: not yet.\n  The numbers are right, but ")
    assert said("why-3", in_place)[0]


@pytest.mark.parametrize(
    "name, mine",
    [
        ("data-6", lambda row: row[: len(row) - row[::-1].index(2) - 1] if 2 in row else row),
        ("scores-4", lambda output, references, n: letters(output, references, n)),
        ("why-3", lambda f, g: f.cumprod(1) * (g / f.cumprod(1)).cumsum(1)),
        (
            "embeddings-5",
            lambda tokens, gradient, vocab_size: (
                torch.zeros(vocab_size, gradient.size(1)).index_add(0, tokens, gradient)
                * int(gradient.size(1) ** 0.5)
            ),
        ),
        ("scores-4", lambda output, references, n: whole(output, references, n)),
        (
            "toy-diagonal",
            lambda alignment: sorted(alignment) == sorted(alignment, key=lambda link: link[1]),
        ),
        (
            "toy-distance",
            lambda antecedents: sorted((i - j for i, j in antecedents), reverse=True),
        ),
    ],
)
def test_what_is_right_on_most_inputs_is_wrong(name, mine):
    assert not said(name, mine)[0]


def whole(output, references, n):
    """Takes the reference that has most of the output, for all n-grams."""
    return max(EXERCISES["scores-4"].answer(output, [each], n) for each in references)


def letters(output, references, n):
    """Counts an n-gram in a reference as a text, in which 'there' holds 'the'."""
    grams = [output[i : i + n] for i in range(len(output) - n + 1)]
    texts = [" ".join(each) for each in references]
    return sum(
        min(grams.count(list(gram)), max(text.count(" ".join(gram)) for text in texts))
        for gram in {tuple(gram) for gram in grams}
    )


def test_an_interrupt_is_not_an_answer():
    def mine(*arguments):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("attention-2", mine)


def test_an_unknown_name_says_which_there_are():
    with pytest.raises(ValueError, match="no exercise 'attention-9' is checked: .*attention-2"):
        check("attention-9", len)


@pytest.mark.parametrize(
    "got, wanted, found",
    [
        (1, 1, None),
        (1.0, 1, None),
        (True, 1, "the type: True or False instead of a number"),
        (0.30000001, 0.3, None),
        (torch.tensor(0.3), 0.3, None),
        (1_474_561, 1_474_560, "1474561 instead of 1474560"),
        ((1, 2), [1, 2], None),
        ([1, 3], [1, 2], "at [1], 3 instead of 2"),
        ([1], [1, 2], "the length: 1 instead of 2"),
        ({"a": 1}, {"b": 1}, "the keys: ['a'] instead of ['b']"),
        ({"a": 1}, {"a": 2}, "at ['a'], 1 instead of 2"),
        (None, 0.5, "the type: None (is there a return?) instead of a number"),
        (np.ones((2, 2)), [], "the type: ndarray instead of a list or tuple"),
        ("ja", "nein", "'ja' instead of 'nein'"),
        (torch.ones(2, 1), torch.ones(2), "the shape: (2, 1) instead of (2,)"),
        (torch.ones(2).double(), torch.ones(2), "the dtype: float64 instead of float32"),
        (torch.ones(2).numpy(), torch.ones(2), "the type: ndarray instead of Tensor"),
        (
            torch.tensor([1, 2]),
            torch.tensor([1, 3]),
            "1 of 2 numbers, the first at [1], 2 instead of 3",
        ),
        (torch.ones(2, requires_grad=True), torch.ones(2), None),
        (torch.nn.Parameter(torch.ones(2)), torch.ones(2), None),
        (torch.ones(2).to_sparse(), torch.ones(2), None),
        (1.50019, 1.5, "1.50019 instead of 1.5"),
        (
            torch.tensor([1.50019]),
            torch.tensor([1.5]),
            "1 of 1 numbers, the first at [0], 1.50019 instead of 1.5",
        ),
        (torch.full((2,), float("nan")), torch.full((2,), float("nan")), None),
        (
            torch.full((1,), float("nan")),
            torch.ones(1),
            "1 of 1 numbers, the first at [0], nan instead of 1",
        ),
    ],
)
def test_what_differs(got, wanted, found):
    assert difference(got, wanted) == found


def test_a_value_takes_one_line():
    assert "\n" not in show(np.ones((20, 3)))
    assert show({"a": [1, 0.5]}) == "{a: [1, 0.5]}"
    assert show(torch.ones(3, 3, dtype=torch.bool).tril()) == "bool (3, 3): 100 110 111"
    assert show(torch.ones(2, dtype=torch.bool)) == "bool (2,): 11"
    assert show(torch.arange(9)) == "int64 (9,): 0 1 2 3 4 5 ..."
    assert show(torch.nn.Linear(2, 2)) == "a Linear"
    assert len(show("x" * 200)) < 100


def test_a_mistake_may_be_an_error():
    task = Exercise(
        lambda row: row[:1], lambda: [([],)], {"An empty row has no first.": lambda row: [row[0]]}
    )
    right, text = verdict("x-1", task, lambda row: [row[0]])
    assert not right and text.endswith("An empty row has no first.")
    assert outcome(task.answer, ([],)) == []


ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    path
    for part in ("model", "data", "training", "translation", "evidence")
    for path in sorted((ROOT / "chapters" / part).glob("*.md"))
]
TASK = re.compile(
    r"^:::\{exercise\} ?(\w*)\n:label: ex-(\S+)\n(.*?)^:::$", re.DOTALL | re.MULTILINE
)
TASKS = [
    pytest.param(path, *task, id=task[1])
    for path in PAGES
    for task in TASK.findall(path.read_text("utf-8"))
]


def solution(path, name):
    """What stands between the begin and the end of a solution."""
    begin = f"::::{{solution-start}} ex-{name}\n"
    return path.read_text("utf-8").split(begin)[1].split("::::{solution-end}")[0]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_each_page_has_two_to_build_and_something_to_break(path):
    text = path.read_text("utf-8")
    assert [kind for kind, _, _ in TASK.findall(text)].count("build") >= 2
    assert re.search(r"^(#+ Break it|\*\*Break it\.\*\*)", text, re.MULTILINE)


@pytest.mark.parametrize("path, kind, name, text", TASKS)
def test_an_exercise_says_its_kind_and_its_solution_is_checked(path, kind, name, text):
    assert kind in ("predict", "build", "explore")
    assert kind != "build" or name in BUILD
    assert (f'check("{name}"' in text) == (name in EXERCISES)
    if name not in EXERCISES:
        return
    checks = [cell for cell in chapters.cells(path) if f'check("{name}"' in cell.source]
    assert len(checks) == 1 and checks[0].source in solution(path, name)
    reference = ROOT / "tests" / "reference" / path.parent.name / f"{path.stem}.json"
    printed = json.loads(reference.read_text("utf-8"))[str(checks[0].position)]
    assert f"{name}: right" in "".join(line for out in printed for line in out["text"])


@pytest.mark.parametrize("path, kind, name, text", TASKS)
def test_a_signature_has_the_names_of_the_report(path, kind, name, text):
    code = re.search(r"```python\n(def .*?)```", text, re.DOTALL)
    if not code or name not in EXERCISES:
        return
    (function,) = (one for one in ast.parse(code[1]).body if isinstance(one, ast.FunctionDef))
    names = list(inspect.signature(EXERCISES[name].answer).parameters)
    tried = len(EXERCISES[name].inputs()[0])
    assert [each.arg for each in function.args.args] == names[:tried]


def test_each_check_is_on_a_page():
    assert {task.values[2] for task in TASKS} >= set(EXERCISES)
