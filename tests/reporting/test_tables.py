"""The summary on a terminal."""

import pytest

from codedpo_plugin.reporting import tables
from helpers.written_runs import output, terminal


@pytest.mark.parametrize("soft_wrap", [False, True])  # True is what the command uses in a pipe
def test_tables_fit_80_columns(summary, soft_wrap):
    summary["problems"]["no_efficiency"] = {"fewer than two solutions " * 4: 123_456_789}
    summary["cells"]["outcomes"] |= {"passed": 123_456_789_012}
    summary["sandbox"] = {"landlock": "a long story, [/red] " * 10}
    console = terminal(soft_wrap=soft_wrap)
    tables.print_tables(summary, console)
    text = output(console)
    assert max(map(len, text.splitlines())) <= 80
    for fact in ("no tests", "123,456,789", "wall seconds", "landlock (a long story, [/red]"):
        assert fact in text


def test_tables_say_nothing_of_layers_that_are_on(summary):
    console = terminal()
    tables.print_tables(summary | {"sandbox": {"seccomp": "on"}}, console)
    assert "sandbox" not in output(console)
