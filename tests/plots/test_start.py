import pytest

from sdqviz.explore import preset
from sdqviz.explore import start as examples


@pytest.mark.parametrize("name", sorted(preset.of_page("")))
def test_start_says_where_plain_rounding_wins(name):
    result = preset.of_page("")[name].result
    sentence = examples.verdict_on_rounding(result)
    assert (sentence is not None) == (result["relative_error_plain"] < result["relative_error"])


def test_start_is_silent_where_it_loses():
    assert examples.verdict_on_rounding({"relative_error_plain": 0.2, "relative_error": 0.1}) is None
    assert "20.0 %" in examples.verdict_on_rounding({"relative_error_plain": 0.1, "relative_error": 0.2})
