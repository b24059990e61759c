"""The ΣΔ Lab with other orders, filters and duals: what is offered, what is shown, what is said where it cannot be."""

import numpy as np
import pytest
from visitor import charts, control, controls, link, metrics, told, visit

from sdqviz.explore import sigma_delta as lab
from sdqviz.explore.wording import percent


def shown(at):
    return {one.key for one in controls(at)}


def test_filters_and_duals_are_offered_where_they_change_something():
    at = visit("sigma-delta")
    assert "dual" in shown(at) and "filter" not in shown(at)  # order 1 as before
    for order, offered in ((0, set()), (2, {"filter", "dual"}), (1, {"dual"})):
        control(at, "order").set_value(order).run()
        assert not at.exception and {"filter", "dual"} & shown(at) == offered
    control(at, "order").set_value(4).run()
    assert control(at, "bits").value == 4 and "bits must be at least 4 for order 4" in at.warning[0].value
    control(at, "filter").set_value("minimal-support").run()
    control(at, "bits").set_value(1).run()
    control(at, "dual").set_value("matched").run()
    assert not at.exception and not at.warning and not at.error
    found = {key: link(at)[key] for key in ("order", "filter", "dual", "bits")}
    assert found == {"order": "4", "filter": "minimal-support", "dual": "matched", "bits": "1"}


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"order": 0}, ("frame rounding", "Order 0 is rounding")),
        ({"order": 2, "bits": 2, "dual": "sobolev"}, ("Order 2, Sobolev dual", "comes back as 2 after 1")),
        ({"order": 3, "filter": "minimal-support", "dual": "matched"}, ("owes the steps to come", "not applicable")),
        ({"size": 33, "bits": 2}, ("is odd", "an even N there is no tie")),
    ],
)
def test_the_page_shows_what_the_engine_computes(choices, words):
    at = visit("sigma-delta", **choices)
    run = lab.build({"size": 64, "dimension": 8} | choices)
    assert not at.error and not at.warning
    assert metrics(at)["Relative error"] == percent(run.error / run.norm)
    assert metrics(at)["Bound holds?"] == "Yes" and run.error <= run.tightest.value
    text = told(at)
    assert all(word in text for word in words), text
    assert len(charts(at)) == 6 + (len(run.taps.lags) > 1)
    scope = {}
    exec(next(code.value for code in at.code if "sq.SigmaDelta" in code.value), scope)
    np.testing.assert_allclose(scope["error"], run.error / run.norm, rtol=1e-12)
