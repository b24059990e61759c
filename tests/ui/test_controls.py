"""Controls at the ends of what they can show: no range is empty, and no value lies outside its own."""

import pytest
from streamlit.testing.v1 import AppTest


def script():
    import streamlit as st

    from sdqviz.ui.controls import Controls
    from sdqviz.ui.link import Link

    link = Link.open("test")
    controls = Controls(link, {name: st.container() for name in ("what", "how", "how much", "more")})
    low, high, default = st.session_state["_given"]
    value = controls.ask("count", default, label="Count", help="How many.", minimum=low, maximum=high)
    st.text(f"value {value!r}")
    st.text(f"problems {link.problems}")


def asked(low, high, default, before=()):
    at = AppTest.from_function(script)
    at.session_state["_given"] = (low, high, default)
    for value in before:
        at.session_state["count"] = value
    return at.run()


@pytest.mark.parametrize(
    ("low", "high", "default", "value"),
    [(10, 10, 10, 10), (10, 10, 512, 10), (1.0, 1.0, 1.0, 1.0), (2, 3, 9, 3), (0, 5000, 9000, 5000), (0, 10**9, -5, 0)],
)
def test_no_range_is_empty_and_no_default_outside(low, high, default, value):
    at = asked(low, high, default)
    assert not at.exception and at.text[0].value == f"value {value!r}"
    if low == high:  # nothing to choose: the value stands there, and cannot be moved
        (box,) = at.text_input
        assert box.disabled and box.value == f"{value:g}" and box.help
        assert not at.slider and not at.number_input


@pytest.mark.parametrize(("before", "value"), [(900, 40), (-3, 16), (20, 20)])
def test_a_value_that_has_become_impossible_moves_to_the_nearest_and_says_so(before, value):
    at = asked(16, 40, 20, [before])
    assert not at.exception and at.text[0].value == f"value {value}"
    assert (f"was {before}" in at.text[1].value) == (before != value)


@pytest.mark.parametrize("before", [None, "two-opt"])
def test_a_control_takes_over_no_value_of_another_kind(before):
    at = asked(16, 40, 20, [before])
    assert not at.exception and at.text[0].value == "value 20"
