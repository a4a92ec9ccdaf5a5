"""Style sheets, icons and code with no more than the pages use."""

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont

from tools.slim import keep_glyphs, needs, shorter, slim, without_unused


def test_rules_for_what_no_page_has_are_dropped():
    css = "p{a:b} .used, .idle {c: d}.idle{e:f}/* said */.used .idle{g:h}"
    assert without_unused(css, {"used"}) == "p{a:b}\n.used{c: d}"


def test_rules_within_rules_are_looked_at():
    css = "@media print { .idle{a:b} .used{c:d} } @media screen{.idle{e:f}} @charset 'x';"
    assert without_unused(css, {"used"}) == "@media print{.used{c:d}}\n@charset 'x';"


def test_what_is_no_rule_stays():
    css = '@font-face{font-family:"A";src:url("a.b")}\n@keyframes k{from{a:b}to{c:d}}'
    assert without_unused(css, set()).split() == css.split()


def test_braces_commas_and_comments_in_strings_are_text():
    css = '.used::before{content:"}, {/*no*/;"}.idle{a:b}'
    assert without_unused(css, {"used"}) == '.used::before{content:"}, {/*no*/;"}'


def test_a_class_among_several_or_forbidden_is_not_needed():
    assert needs("div.a:is(.b, :not(.c), .d) > [data-x='.e']") == {"a"}
    assert without_unused(":is(.x, :not(.y), .z) p{a:b}", set()) == ":is(.x, :not(.y), .z) p{a:b}"


def test_code_keeps_its_colors_and_its_text():
    page = (
        '<pre><span></span><span class="n">x</span> <span class="o">=</span></pre>'
        '<p><span class="n">y</span></p>'
    )
    kept = '<pre>x <span class="o">=</span></pre><p><span class="n">y</span></p>'
    assert shorter(page) == kept


def test_pictures_are_short_and_the_rest_stays():
    drawn = '<svg>\n <path d="M 1.23456 2 \n L 3 4" transform="rotate(-0 1 2)"/>\n </svg>'
    short = '<svg><path d="M 1.23 2\nL 3 4"/></svg>'
    words = "<p>1.23456\n <b>"
    assert shorter(drawn + words) == short + words


def font_with(glyphs: dict[int, str], path):
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    pen.lineTo((9, 9))
    pen.lineTo((9, 0))
    pen.closePath()
    names = [".notdef", *glyphs.values()]
    builder = FontBuilder(9, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap(glyphs)
    builder.setupGlyf({name: pen.glyph() for name in names})
    builder.setupHorizontalMetrics({name: (9, 0) for name in names})
    builder.setupHorizontalHeader()
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


def test_a_font_keeps_the_glyphs_that_are_named(tmp_path):
    font_with({0xF001: "a", 0xF002: "b"}, tmp_path / "x.ttf")
    keep_glyphs(tmp_path / "x.ttf", {0xF002})
    assert set(TTFont(tmp_path / "x.ttf").getBestCmap()) == {0xF002}


def test_classes_stand_on_pages_and_in_scripts(tmp_path):
    folder = tmp_path / "_static" / "vendor" / "fontawesome" / "6" / "css"
    fonts = folder.parent / "webfonts"
    folder.mkdir(parents=True)
    fonts.mkdir()
    font_with({0xF001: "a", 0xF002: "b"}, fonts / "x.ttf")
    (fonts / "x.woff2").write_bytes(b"")
    source = '@font-face{src:url(../webfonts/x.woff2) format("woff2"),url(../webfonts/x.ttf)}'
    icons = '.fa-a:before{content:"\\f001"}.fa-b:before{content:"\\f002"}'
    (folder / "all.css").write_text(source + icons)
    (tmp_path / "page.html").write_text('<i class="far fa-a"></i><p>fa-b one</p>')
    (tmp_path / "_static" / "x.js").write_text('add("late")')
    (tmp_path / "_static" / "x.css").write_text(".late{a:b}.one{c:d}.far{e:f}")
    slim(tmp_path)
    slim(tmp_path)
    assert (tmp_path / "_static" / "x.css").read_text() == ".late{a:b}\n.far{e:f}"
    assert (folder / "all.css").read_text() == (
        "@font-face{src:url(../webfonts/x.ttf)}\n" + '.fa-a:before{content:"\\f001"}'
    )
    assert set(TTFont(fonts / "x.ttf").getBestCmap()) == {0xF001}
    assert not (fonts / "x.woff2").exists()
