"""Safe text, and numbers for people."""

from codedpo_plugin.reporting.text import cut_code, duration, plain, rough_duration


def test_durations_are_in_the_unit_that_suits() -> None:
    seconds = (2.5, 0.0125, 3.21e-5, 4e-9)
    assert [duration(s) for s in seconds] == ["2.5 s", "12.5 ms", "32.1 µs", "4 ns"]
    assert [rough_duration(s) for s in (45, 720, 7200)] == ["45 s", "12 min", "2 h"]


def test_control_and_direction_characters_become_visible() -> None:
    assert plain("a\r\nb\x07\tc\u202e") == "a\nb\\x07\tc\\u202e"


def test_long_programs_are_cut_with_a_note() -> None:
    assert cut_code("x = 1\n") == ("x = 1", "")
    code, note = cut_code("x = 1\n" * 500)
    assert code.count("\n") == 79
    assert "80 lines" in note
