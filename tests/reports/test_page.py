"""How the templates fill in: tables, escapes, and no HTML outside of them."""

import ast
import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

import recipes
from recipes.reports.page import Column, Figure, Table, environment, render

TAG = re.compile(
    r"</?(a|abbr|article|audio|body|code|dd|del|details|div|dl|dt|figcaption|figure|h[1-6]|head|header|html|img|ins|li"
    r"|main|nav|ol|p|pre|script|section|small|span|strong|table|tbody|td|th|thead|tr|ul)[ >]"
)


def macro(name: str, *values) -> str:
    return str(getattr(environment().get_template("macros.html.jinja").module, name)(*values))


def test_no_html_stands_in_python():
    strings = {
        (path.name, node.lineno): node.value
        for path in Path(recipes.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert TAG.search('<p class="note">')
    assert [place for place, string in strings.items() if TAG.search(string)] == []


def test_a_table_has_numbers_that_sort_and_bars():
    columns = [Column("speaker"), Column("words", 0), Column("WER %", 2, full=50)]
    markup = macro("show_table", Table("by speaker", columns, [("a<b", 12345, 25.0), ("c", None, None)]))
    assert '<table class="sortable">' in markup and '<th scope="row">a&lt;b</th>' in markup
    assert '<th scope="col" class="number bar">WER %</th>' in markup
    assert '<td class="number" data-sort="12345">12,345</td>' in markup
    assert '<td class="number bar" data-sort="25" style="--share:50%">25.00</td>' in markup
    assert '<td class="number" data-sort="">–</td>' in markup


def test_a_table_without_rows_is_a_sentence():
    markup = macro("show_table", Table("deletions", [Column("word")], [], empty="No deletions."))
    assert "No deletions." in markup and "<table" not in markup


def test_a_single_row_does_not_sort():
    assert "sortable" not in macro("show_table", Table("one row", [Column("word")], [("a",)]))


def test_plots_are_not_escaped_but_captions_are():
    markup = macro("show_figure", Figure("a < b", Markup("<svg></svg>")))
    assert "<figcaption>a &lt; b</figcaption><svg></svg>" in markup


def test_a_value_that_is_not_there_is_an_error():
    with pytest.raises(UndefinedError, match="title"):
        render("run.html.jinja")
