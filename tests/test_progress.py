"""Live: the log on disk, the curves in a terminal and in a notebook."""

import io
import json
import math
import os
import re
import sys
from xml.etree import ElementTree

import pytest

from annotated.training import progress
from annotated.training.progress import Log, Notebook, Terminal, curve, read_log, spark


def step(number: int) -> dict[str, float]:
    """What the loop shows after a step."""
    return {"step": number, "seconds": 6.0 * number, "loss": 7.0 / number}


def logged(number: int) -> dict[str, float]:
    return step(number) | {"learning_rate": number / 1000, "tokens_per_second": 1000.0 * number}


def validated(number: int) -> dict[str, float]:
    return logged(number) | {"validation_loss": 6.0 / number, "validation_bleu": 2.0 * number}


class Screen(io.StringIO):
    """A terminal that keeps all that is written to it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def a_terminal_of_80_by_24(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)


# The log.


def test_the_log_has_a_line_for_each_logged_row_as_soon_as_it_comes(tmp_path):
    path = tmp_path / "run" / "log.jsonl"
    log = Log(path)
    assert read_log(path) == []
    for count, row in enumerate([logged(2), validated(4)], start=1):
        log(step(row["step"] - 1))
        log(row)
        assert len(path.read_text().splitlines()) == count
    assert read_log(path) == [logged(2), validated(4)]
    assert json.loads(path.read_text().splitlines()[1]) == validated(4)


def test_the_log_of_a_resumed_run_begins_with_the_rows_of_its_checkpoint(tmp_path):
    path = tmp_path / "log.jsonl"
    log = Log(path, [])
    for number in (1, 2, 3):
        log(logged(number))
    Log(path, [logged(1)])(validated(2))
    assert read_log(path) == [logged(1), validated(2)]
    assert list(tmp_path.iterdir()) == [path]


def test_the_log_of_a_run_that_begins_again_is_empty(tmp_path):
    Log(tmp_path / "log.jsonl", [logged(1)])
    Log(tmp_path / "log.jsonl", [])
    assert read_log(tmp_path / "log.jsonl") == []


def test_the_log_is_rewritten_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    Log(path, [logged(1)])

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(progress.os, "replace", stopped)
        Log(path, [logged(2)])
    assert read_log(path) == [logged(1)]


@pytest.mark.parametrize("torn", [b'{"step": 2, "lo', b"\x00\x00\x00", b'{"step": 2, "x": "\xc3'])
def test_a_torn_last_line_is_left_out_and_what_follows_does_not_stick_to_it(tmp_path, torn):
    path = tmp_path / "log.jsonl"
    path.write_bytes(json.dumps(logged(1)).encode() + b"\n" + torn)
    assert read_log(path) == [logged(1)]
    Log(path)(logged(2))
    assert read_log(path) == [logged(1), logged(2)]


def test_a_damaged_line_before_the_last_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(f"{json.dumps(logged(1))}\nnonsense\n{json.dumps(logged(3))}\n")
    with pytest.raises(ValueError, match="line 2 of .*log.jsonl"):
        read_log(path)


# The curves as text.


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], 8, "▁▂▃▄▅▆▇█"),
        ([7, 0], 2, "█▁"),
        ([1, 2], 4, "▁▁██"),  # fewer values than places: each takes several
        ([0, 2, 6, 8], 2, "▁█"),  # more: each place shows a mean, here 1 and 7
        ([0, 0, 1, 0, 2, 2], 3, "▁▃█"),  # 0, 0.5 and 2: the second lies at a quarter of the height
        ([3, 3, 3], 3, "▅▅▅"),  # constant
        ([5], 3, "▅▅▅"),
        ([], 3, "   "),
        ([0, math.nan, 7], 3, "▁ █"),
        ([0, math.nan, 7, 7], 2, "▁█"),  # left out of the mean
        ([math.inf, 0, 7, -math.inf], 4, " ▁█ "),
        ([math.nan], 2, "  "),
        ([1, 2], 0, ""),
        ([1, 2], -3, ""),
        ([-2.0, -1.0], 2, "▁█"),
    ],
)
def test_spark_by_hand(values, width, drawn):
    assert spark(values, width) == drawn


def test_spark_shows_every_value_of_a_long_series_once():
    for n in (50, 97, 100, 1000):
        bumps = [spark([float(i == at) for i in range(n)], 43).count("█") for at in range(n)]
        assert bumps == [1] * n


@pytest.mark.parametrize("width", [-1, 0, 1, 10, 20, 34, 35, 45, 46, 79, 200])
def test_a_curve_is_never_wider_than_it_may_be(width):
    rows = [validated(number) | {"validation_f1": number} for number in range(1, 60)]
    for key in progress.CURVES:
        words = curve(key, rows, width)
        assert len(words) <= max(width, 0)
        if width >= 35:
            assert len(words) == width and len(set(progress.BLOCKS) & set(words)) >= 2
            assert sum(words.count(block) for block in progress.BLOCKS) >= 8


def test_a_parser_shows_its_f1():
    rows = [logged(number) | {"validation_f1": 20.0 * number} for number in (1, 4)]
    assert "validation F1 80.0" in progress.sentence(rows[-1])
    assert re.fullmatch(r"validation F1 +20\.0  ▁+█+ +80\.0", curve("validation_f1", rows, 79))


def test_a_curve_has_its_name_and_its_first_and_last_value():
    rows = [validated(1), validated(4)]
    assert re.fullmatch(r"loss +7\.000  █+▁+ +1\.750", curve("loss", rows, 79))
    assert re.fullmatch(
        r"learning rate +1\.00e-03  ▁+█+ +4\.00e-03", curve("learning_rate", rows, 79)
    )
    assert re.fullmatch(r"validation BLEU +2\.0  ▁+█+ +8\.0", curve("validation_bleu", rows, 79))
    assert curve("loss", rows, 20) == "loss 1.750"


# A terminal.


def test_into_a_file_goes_one_plain_line_for_each_logged_row(capsys):
    with Terminal(4) as show:
        for row in [step(1), logged(2), step(3), validated(4)]:
            show(row)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "step      2    0.2 min  loss 3.500  2,000 tokens/s",
        "step      4    0.4 min  loss 1.750  validation loss 1.500  validation BLEU 8.0  "
        "4,000 tokens/s",
    ]


def test_where_the_cursor_cannot_go_up_lines_are_plain(monkeypatch):
    for name, value in [("TERM", "dumb"), ("JPY_PARENT_PID", "1")]:
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            screen = Screen()
            with Terminal(4, file=screen) as show:
                show(step(1))
                show(logged(2))
            assert screen.getvalue() == "step      2    0.2 min  loss 3.500  2,000 tokens/s\n"


def seen(screen: Screen) -> list[str]:
    """What stands on the screen, as a terminal shows the characters that were written to it."""
    rows, row, place = [""], 0, 0
    for piece in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|.", screen.getvalue(), re.DOTALL):
        if piece == "\n":
            row, place = row + 1, 0
            rows += [""] * (row + 1 - len(rows))
        elif piece == "\r":
            place = 0
        elif piece == "\x1b[A":
            row -= 1
        else:
            assert len(piece) == 1, f"an unknown control code: {piece!r}"
            rows[row] = rows[row][:place].ljust(place) + piece + rows[row][place + 1 :]
            place += 1
    return [row.rstrip() for row in rows]


def test_on_a_terminal_there_are_a_bar_and_five_curves_at_the_end():
    screen = Screen()
    with Terminal(10, file=screen) as show:
        for number in range(1, 11):
            show(validated(number) if number % 5 == 0 else step(number))
    bar, *curves, end = seen(screen)
    assert end == ""
    assert "10/10" in bar and "loss 0.700" in bar and "10,000 tokens/s" in bar
    names = ["loss", "learning rate", "tokens/s", "validation BLEU", "validation loss"]
    assert [re.split(r"  |\d", line)[0].strip() for line in curves] == names
    assert all(len(line) < 80 for line in curves)


def test_the_curves_are_drawn_at_logged_rows_only():
    screen = Screen()
    with Terminal(10, file=screen) as show:
        show(logged(1))
        before = screen.getvalue().count("learning rate")
        for number in range(2, 9):
            show(step(number))
        assert screen.getvalue().count("learning rate") == before == 1
        show(logged(9))
        assert screen.getvalue().count("learning rate") == 2
        names = [line.split()[0] for line in seen(screen)[1:]]
        assert names == ["loss", "learning", "tokens/s"]  # in place: each stands there once


def test_a_resumed_run_goes_on_where_it_was():
    screen = Screen()
    with Terminal(10, 5, [validated(5)], file=screen) as show:
        assert "5/10" in screen.getvalue() and "validation BLEU" in screen.getvalue()
        show(validated(6))
        assert show.bar.n == 6
    assert re.search(r"loss +1\.400  █+▁+ +1\.167", screen.getvalue())


def test_a_low_terminal_has_fewer_curves(monkeypatch):
    monkeypatch.setenv("LINES", "4")
    screen = Screen()
    with Terminal(10, file=screen) as show:
        show(validated(5))
    assert "learning rate" in screen.getvalue() and "validation" not in screen.getvalue()


def test_a_run_that_ends_in_an_error_leaves_its_last_state():
    screen = Screen()
    with pytest.raises(KeyboardInterrupt), Terminal(10, file=screen) as show:
        show(validated(5))
        raise KeyboardInterrupt
    bar, *curves, end = seen(screen)
    assert "5/10" in bar and len(curves) == 5 and end == ""


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no pseudo-terminals here")
def test_the_width_is_that_of_the_terminal_itself():
    import fcntl
    import struct
    import termios

    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as file:
        for columns, lines in [(57, 9), (0, 0)]:  # some programs make a terminal without a size
            fcntl.ioctl(file, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            assert progress.room(file) == (columns, lines)
            assert progress.can_redraw(file) == (columns > 0)
    os.close(ours)


# A notebook.


class Page:
    """Stands in for IPython's display: keeps what each picture shows."""

    def __init__(self):
        self.pictures: list[list[str]] = []

    def display(self, picture, display_id):
        states = [picture.data]
        self.pictures.append(states)

        class Handle:
            def update(self, picture):
                states.append(picture.data)

        return Handle()


@pytest.fixture
def page(monkeypatch) -> Page:
    pytest.importorskip("IPython")
    page = Page()
    monkeypatch.setattr("IPython.display.display", page.display)
    return page


def test_a_notebook_has_one_picture_that_ends_with_the_last_row(page):
    with Notebook(100) as show:
        for number in range(1, 41):
            show(validated(number) if number % 10 == 0 else step(number))
    (states,) = page.pictures
    assert len(states) == 2  # the first row, and at the end what came too soon after it
    assert "Step 10 of 100" in states[0] and "Step 40 of 100" in states[1]


def test_the_last_step_is_drawn_without_a_context_manager(page):
    show = Notebook(3)
    for row in [logged(1), logged(2), logged(3)]:
        show(row)
    assert "Step 3 of 3" in page.pictures[0][-1]


def test_nothing_logged_is_nothing_drawn(page):
    with Notebook(3) as show:
        show(step(1))
    assert page.pictures == []


def test_drawing_takes_a_small_share_of_the_time(page, monkeypatch):
    clock = iter(range(0, 10_000, 10))  # each look at the clock finds it ten seconds later
    monkeypatch.setattr(progress.time, "perf_counter", lambda: float(next(clock)))
    show = Notebook(1000)
    for number in range(1, 101):
        show(logged(number))
    # A drawing takes 10 s, so the next one is 200 s, or 20 looks, later.
    assert 4 <= len(page.pictures[0]) <= 6


def test_the_picture_is_well_formed_and_follows_the_page():
    rows = [logged(1), validated(2), validated(4)]
    root = ElementTree.fromstring(progress.panels(rows, 4))
    words = [node.text for node in root.iter() if node.tag.endswith("text")]
    for word in ["loss (nats a token)", "learning rate", "tokens per second", "validation BLEU"]:
        assert words.count(word) == 1
    assert words.count("training") == words.count("validation") == 1
    assert len([node for node in root.iter() if node.tag.endswith("svg")]) == 4
    said = root.find("div").get("aria-label")
    assert "Step 4 of 4" in said and "validation BLEU 8.0" in said
    assert "currentColor" in progress.panels(rows, 4)


def test_what_is_not_logged_has_no_picture():
    html = progress.panels([logged(1), logged(2)], 4)
    assert html.count("<svg ") == 3 and "validation" not in html


def test_without_ipython_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(ImportError, match="pip install"):
        Notebook(3)


def test_in_a_real_notebook_the_last_state_remains():
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    source = """
from annotated.training.progress import Notebook
with Notebook(3) as show:
    for step in (1, 2, 3):
        show({"step": step, "seconds": 1, "loss": 2, "learning_rate": 1, "tokens_per_second": 9})
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    pictures = [out for out in notebook.cells[0].outputs if out.output_type == "display_data"]
    assert len(pictures) == 1
    assert "Step 3 of 3" in pictures[0].data["text/html"]
