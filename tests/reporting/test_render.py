"""Tables in every form escape their text."""

from codedpo_plugin.reporting.render import Rows, html_table, markdown, markdown_table

DATA = Rows(("name", "n"), [("  <b>|", "1"), ("two\nlines", "2")])


def test_markdown_escapes_what_would_end_a_cell() -> None:
    table = "| name | n |\n| --- | --- |\n|   <b>\\| | 1 |\n| two lines | 2 |"
    assert markdown_table(DATA) == table
    assert markdown([DATA, DATA]) == f"{table}\n\n{table}\n"


def test_html_escapes_markup_and_keeps_indents() -> None:
    text = html_table(DATA)
    assert "<td>&emsp;&lt;b&gt;|</td>" in text
    assert "<thead><tr><th>name</th><th>n</th></tr></thead>" in text
