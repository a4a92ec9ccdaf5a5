"""The landing page: three ways, through pages that are there, with the minutes of their boxes."""

import re

import pytest

from tools import chapters, reading

ROOT = chapters.ROOT


@pytest.fixture(scope="module")
def namespace():
    found: dict = {}
    exec(next(chapters.cells(ROOT / "intro.md")).source, found)
    return found


@pytest.fixture(scope="module")
def ways(namespace):
    return namespace["ways"]()


def test_the_course_has_every_page_of_the_main_path(namespace):
    course = " ".join(namespace["COURSE"].values()).split()
    main = {chapters.name_of(path) for path in reading.parts(before="Going further")}
    assert main - {*course} == set(), "name it in a week of intro.md"
    assert len(course) == len({*course})


def test_afternoon_and_weekend_are_the_way_to_a_translation(namespace):
    pages = f"{namespace['AFTERNOON']} {namespace['WEEKEND']}".split()
    way = [chapters.name_of(path) for path in reading.parts(through="Translation")]
    assert sorted(pages) == sorted({*way} - {"start/from-paper-to-code"})


def test_each_page_has_its_title_and_the_minutes_of_its_box(ways):
    links = re.findall(r"\[([^\]]+)\]\(chapters/(\S+?)\.md\) \((\d+)\)", ways)
    assert len(links) > 20
    for title, name, minutes in links:
        text = (chapters.CHAPTERS / f"{name}.md").read_text("utf8")
        assert f"\n# {title}\n" in text
        assert int(minutes) == (reading.boxed(text) or 0)


def test_hours_are_rounded_to_halves(namespace, monkeypatch):
    monkeypatch.setitem(namespace, "minutes", lambda name: int(name))
    assert [namespace["hours"](text) for text in ("5", "40 5", "60", "100 50")] == [
        "0.5 hour",
        "1 hour",
        "1 hour",
        "2.5 hours",
    ]


@pytest.mark.parametrize("each", [11, 14, 17, 20])
def test_the_hours_of_the_ways_add_up_to_the_total(namespace, monkeypatch, each):
    monkeypatch.setitem(namespace, "minutes", lambda name: each)
    hours = re.findall(r": ([\d.]+) hours? of prose", namespace["ways"]())
    assert len(hours) == 2 and sum(map(float, hours)) == float(namespace["total"]())


@pytest.mark.parametrize("name", ["your-own-text", "glossary", "symbols", "cheat-sheet", "ledger"])
def test_what_one_looks_up_is_linked(name):
    text = (ROOT / "intro.md").read_text("utf8")
    assert f"](chapters/reference/{name}.md)" in text
    assert reading.words(text) < 500
