import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdqviz.error import InputError
from sdqviz.strict_json import read_json, spelled, write_json

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), PLAIN, max_size=3))
def test_what_is_written_is_read_again(values):
    for indent in (None, 1):
        assert read_json(write_json(values, indent), "it must be", 64) == values


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a": 2}', '{"a": NaN}', '{"a": [-Infinity]}', "[1]", "3", "", "{", b"\xff{}", "[" * 100_000,
     r'{"a": "\ud800"}', rb'{"a": ["\udfff"]}',
     '{"a": ' * 20 + "1" + "}" * 20],
)  # fmt: skip
def test_what_is_no_object_of_json_is_refused_in_one_sentence(text):
    with pytest.raises(InputError, match=r"^it must be") as caught:
        read_json(text, "it must be")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_words_stand_for_numbers_that_json_lacks():
    values = {"a": (math.nan, math.inf), "b": {"c": -math.inf, "d": 1.5}}
    assert spelled(values) == {"a": ["NaN", "Infinity"], "b": {"c": "-Infinity", "d": 1.5}}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(values)
    assert json.loads(write_json(spelled(values)))["a"] == ["NaN", "Infinity"]
    assert math.isnan(read_json('{"a": NaN}', "it must be", finite=False)["a"])
