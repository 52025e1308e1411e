"""Tables on narrow screens: nothing is cut."""

import io
from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from keras_maskdef.core.wide_table import WideTable

WORD = st.text("abcdefgh0123456789.%-", min_size=1, max_size=19)
PHRASE = st.lists(WORD, min_size=1, max_size=4).map(" ".join)


@st.composite
def tables(draw):
    columns = draw(st.integers(1, 9))
    row = st.tuples(PHRASE, *[WORD] * columns)
    headings = draw(st.tuples(PHRASE, *[PHRASE] * columns))
    rows = draw(st.lists(row, min_size=1, max_size=5))
    return WideTable(headings, rows, notes=("what has to be known",), title="title")


def printed(table, width):
    page = io.StringIO()
    Console(width=width, file=page).print(table)
    return page.getvalue()


LONG_HEADING = WideTable(
    ("0",) * 8 + ("00000000000", "0 0 0 0"), [("0 0 0 0",) + ("0",) * 9], title="title"
)


@settings(max_examples=100, deadline=None)
@given(tables(), st.integers(60, 200))
@example(replace(LONG_HEADING, notes=("what has to be known",)), 60)
def test_every_cell_is_there_once_and_whole(table, width):
    text = printed(table, width)
    assert "…" not in text and max(map(len, text.splitlines())) <= width
    groups = [*table.groups(width)]
    assert sum(groups, []) == [*range(1, len(table.headings))]
    cells = [cell.strip() for line in text.splitlines() for cell in line.split("│")]
    for row in table.rows:
        for cell in row[1:]:
            wanted = sum(other[1:].count(cell) for other in table.rows)
            assert cells.count(cell) >= wanted
    assert text.count("title") >= 1 and text.count("what has to be known") == 1


def test_wide_screens_have_one_table():
    table = WideTable(("attack", "a", "b"), [("clean", "1", "2")])
    assert [*table.groups(200)] == [[1, 2]] and [*table.groups(5)] == [[1], [2]]


def test_what_is_quoted_is_bold_and_apart():
    rows = [("clean", "1"), ("adaptive", "2")]
    table = WideTable(("attack", "a"), rows, frozenset({1}), frozenset({1}))
    page = io.StringIO()
    Console(width=60, file=page, force_terminal=True).print(table)
    bold = [line for line in page.getvalue().splitlines() if "\x1b[1m" in line]
    assert any("adaptive" in line for line in bold)
    assert not any("clean" in line for line in bold)
    assert printed(table, 60).count("├") == 1
