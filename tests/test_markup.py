"""The HTML of pages, mended: what the extensions write, and what stands on the page."""

from tools.markup import tidy


def test_a_bar_says_what_it_shows():
    assert tidy('<summary aria-label="Toggle hidden content">Show') == "<summary>Show"


def test_exercises_share_no_id():
    body = '<section id="exercise-content">a</section><section id="solution-content">b</section>'
    assert "id=" not in tidy(body)


def test_an_entry_of_the_bibliography_is_an_item_of_its_list():
    assert tidy('<div role="doc-biblioentry">') == '<div role="listitem">'


def test_pictures_with_a_caption_are_numbered_and_can_be_linked():
    drawn = '<figure class="picture"><svg/><figcaption>What.</figcaption></figure>'
    bare = '<figure class="picture"><svg/></figure>'
    body = tidy(drawn + bare + drawn)
    assert body.count("picture-2") == 2 and "picture-3" not in body
    assert bare in body
    assert 'id="picture-1"' in body and '<a class="picture-number" href="#picture-1">' in body


def printed(text: str) -> str:
    return tidy(f'<div class="output stream"><div class="highlight"><pre>{text}</pre></div></div>')


def test_printed_prose_wraps_and_printed_tables_do_not():
    assert "wraps" in printed("short\n" + "word " * 21)
    assert "wraps" not in printed("short\n" + "x" * 100)
    assert "wraps" not in printed("<span>a</span>&amp;" * 30 + "x" * 40)


def test_what_outputs_share_stands_on_the_page_once():
    script, style = "<script data-once>a < b</script>", "<style data-once>a</style>"
    assert tidy(f"1{style}{script}2{style}{script}3") == f"1{style}{script}23"
    other = "<script data-once>c</script><script>a</script><script>a</script>"
    assert tidy(script + other) == script + other
