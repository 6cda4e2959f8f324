"""Texts that are nearly the same."""

import pytest

pytest.importorskip("datasketch", reason="pip install 'codedpo[sample]'")

from codedpo_plugin.synthesis.near_duplicates import Seen, shingles, words

TEXT = " ".join(f"word{n}" for n in range(60))


def test_words_are_compared_in_lower_case_with_punctuation() -> None:
    assert words("Add x, y!") == ["add", "x", ",", "y", "!"]
    assert shingles("a b c d e f") == {"a b c d e", "b c d e f"}
    assert shingles("a b") == {"a b"}


def test_a_similar_text_names_the_earlier_one_and_is_not_added() -> None:
    seen = Seen(0.7)
    assert seen.add("first", TEXT) is None
    assert seen.add("second", TEXT.replace("word59", "other")) == "first"
    assert seen.add("third", "something else entirely, in other words") is None
