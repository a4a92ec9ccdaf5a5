"""The time that a page takes to read is counted, said in its box, and kept short."""

import re

import pytest

from tools import chapters, reading

PAGE = """\
---
kernelspec: {display_name: Python 3, name: python3}
---

# 3.2 Two words

:::{admonition} At a glance
- **You need:** nothing
- **On two cores:** about ten seconds, without a download
:::

```{code-cell} ipython3
:tags: [hide-input]

code = "is not read"
```

Three more words.

````{solution} ex
Nor is this:

```{code-cell} ipython3
1
```
````
"""
BOXED = [path for path in chapters.paths() if "At a glance" in path.read_text("utf8")]


def test_words_are_counted_without_front_matter_and_code():
    assert reading.words(PAGE) == 4 + 4 + 4 + 10 + 1 + 3 + 2 + 3 + 1
    assert reading.words(PAGE.replace("code = ", "more = code = ")) == reading.words(PAGE)
    assert (
        reading.words(PAGE.replace("Three more", "Three or four more")) == reading.words(PAGE) + 2
    )


@pytest.mark.parametrize(("more", "minutes"), [(0, 1), (150, 1), (200, 2), (1000, 6)])
def test_minutes_are_rounded_up(more, minutes):
    assert reading.minutes(PAGE + more * "word ") == minutes


def test_the_box_says_how_long_and_keeps_the_running_time():
    text = reading.with_time(PAGE)
    running = "about ten seconds to run on two cores, without a download"
    assert f"\n- **Time:** 1 minute to read, {running}\n" in text
    assert "On two cores:" not in text and reading.boxed(text) == 1
    longer = reading.with_time(text.replace("Three", 1000 * "many " + "Three"))
    assert f"\n- **Time:** 6 minutes to read, {running}\n" in longer
    assert reading.with_time(longer) == longer


def test_a_page_without_code_says_no_running_time():
    text = PAGE.replace("**On two cores:** about ten seconds, without a download", "**Time:** ?")
    assert "\n- **Time:** 1 minute to read\n" in reading.with_time(text)


@pytest.mark.parametrize("mark", ["?", "? minutes to read"])
def test_a_mark_in_place_of_the_minutes_is_filled_in(mark):
    text = PAGE.replace("**On two cores:** about", f"**Time:** {mark}, about")
    assert "\n- **Time:** 1 minute to read, about ten seconds" in reading.with_time(text)


def test_a_reading_time_that_is_said_twice_is_none():
    twice = PAGE.replace("**On two cores:** about", "**Time:** 1 minute to read,  minutes to read,")
    assert reading.boxed(twice) is None


def test_a_page_without_a_box_stays_as_it_is():
    assert reading.with_time("# Title\n\nWords.\n") == "# Title\n\nWords.\n"
    assert reading.boxed("# Title\n\nWords.\n") is None


def test_fix_writes_what_the_check_demands(tmp_path, capsys):
    path = tmp_path / "page.md"
    path.write_text(PAGE, "utf8")
    assert reading.main([str(path)]) == 1
    assert "page.md" in capsys.readouterr().out
    assert reading.main(["--fix", str(path)]) == 0
    assert reading.main([str(path)]) == 0


@pytest.mark.parametrize("path", BOXED, ids=chapters.name_of)
def test_a_page_says_how_long_it_takes_to_read(path):
    text = path.read_text("utf8")
    said = reading.boxed(text)
    assert said is not None, "no reading time in the box: python tools/reading.py --fix"
    assert abs(said - reading.minutes(text)) <= 1, "python tools/reading.py --fix"


@pytest.mark.parametrize("path", reading.parts(before="Going further"), ids=chapters.name_of)
def test_a_page_of_the_main_path_is_read_in_one_sitting(path):
    assert reading.minutes(path.read_text("utf8")) <= 25


def test_the_way_to_a_translation_is_short():
    way = reading.parts(through="Translation")
    assert chapters.name_of(way[0]) == "start/how-to-read"
    assert way[-1].parent.name == "translation"
    assert sum(reading.words(path.read_text("utf8")) for path in way) <= 50_000


def test_every_page_of_the_contents_has_a_box():
    pages = {path for path in reading.parts() if chapters.is_chapter(path)}
    assert pages - {*BOXED} == set()


@pytest.mark.parametrize("path", chapters.paths(), ids=chapters.name_of)
def test_a_link_names_the_page_that_it_leads_to(path):
    """Not its number alone: whoever reads on paper, or by ear, has only the words."""
    links = re.findall(r"\[([^\]]*)\]\([^)\s]+\.md[^)]*\)", path.read_text("utf8"))
    assert not [text for text in links if re.fullmatch(r"(?i)((section|chapter)s? )?[\d.]+", text)]
