"""The report page: safe, well formed, and complete without pairs."""

import html.parser
import json
import re
import xml.etree.ElementTree as ElementTree

from codedpo_plugin.dataset.export import Counts
from codedpo_plugin.reporting import page, tables
from codedpo_plugin.reporting import summary as report
from helpers.written_runs import PROBLEMS, make_run, terminal


def test_report_json_is_the_summary(recipe, summary):
    page.write(recipe, summary)
    written = json.loads((recipe.output / "report.json").read_text())
    assert written["problems"] == summary["problems"]
    assert written["recipe"]["pairs"]["ties"] == "first"
    assert "samples" not in written


def test_page_is_one_safe_file(recipe, summary):
    text = page.write(recipe, summary).read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "&amp;amp; $title" in text
    for forbidden in ("<script", "\x1b", "\u202e"):
        assert forbidden not in text
    addresses = set(re.findall(r"https?://[^\"'<> ]+", text))
    assert all(address.startswith("http://www.w3.org/") for address in addresses)  # XML namespaces
    assert "set/one" in text, "the problem with both kinds of pairs is the one explained"
    assert "chosen: solution 1" in text
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(svg)


def test_page_closes_its_tags(recipe, summary):
    open_tags: list[str] = []

    class Checker(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "br"):
                open_tags.append(tag)

        def handle_startendtag(self, tag, attrs):
            pass

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    Checker().feed(page.write(recipe, summary).read_text())
    assert not open_tags


def test_no_efficiency_pairs_is_no_error(tmp_path):
    recipe = make_run(tmp_path / "run", PROBLEMS[1:])
    summary = report.summarise(recipe, Counts(), {}, {})
    tables.print_tables(summary, terminal())
    assert "no efficiency pairs" in page.write(recipe, summary).read_text()
    assert summary["speed"]["quartiles"] is None


def test_no_pairs_at_all_is_no_error(tmp_path):
    recipe = make_run(tmp_path / "run", PROBLEMS[1:2])
    summary = report.summarise(recipe, Counts(), {}, {})
    assert "No problem gave a pair" in page.write(recipe, summary).read_text()
