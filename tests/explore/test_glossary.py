"""The one list of words: found in texts as people write them, and nowhere else."""

import pytest

from sdqviz.explore.glossary import TERMS, lines, used


@pytest.mark.parametrize("term", sorted(TERMS))
def test_every_word_is_found_however_it_is_written(term):
    name = term.partition(" (")[0]
    for text in (name, f"Some {name}s.", f"({name.upper()})", f"the {name}, here"):
        assert term in used(text)


@pytest.mark.parametrize("text", ["reframed", "GPTQX", "stepwise", "", "leveller"])
def test_parts_of_other_words_are_not_words(text):
    assert used(text) == {}


def test_words_are_told_in_order_with_their_meaning():
    found = used("A tight frame and its BOPs")
    assert list(found) == ["bit operations (BOPs)", "frame", "tight"]
    assert lines(found).split("\n\n")[1] == f"**frame**: {TERMS['frame']}"
