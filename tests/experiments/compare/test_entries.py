import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdqviz.error import InputError
from sdqviz.experiments.compare.entry import changed_fields, check, entries
from sdqviz.experiments.compare.figures import FIGURES, place, ticks, value_at
from sdqviz.experiments.compare.filters import ALL, AVERAGED, Filter, brushed, parse_brush, write_brush
from sdqviz.methods import METHODS


def points(*runs, averaged=False):
    return entries(((run, "here") for run in runs), averaged)


def test_averages_join_what_differs_in_seeds_alone(made_run):
    runs = [made_run(bits=2 + seed / 10, accuracy=0.9 + seed / 100, seed=seed) for seed in range(3)]
    other = [made_run(bits=3.0, choices={"bits": 3}), made_run(problem="it broke", seed=1)]
    joined = points(*runs, *other, averaged=True)
    assert [len(one.runs) for one in joined] == [3, 1, 1]
    assert joined[0].values["bits"] == pytest.approx(2.1)
    assert joined[0].spread("accuracy") == pytest.approx(0.01)
    assert joined[2].failed and math.isnan(joined[2].values["bits"])
    assert math.isnan(joined[1].spread("bits"))
    assert [len(one.runs) for one in points(*runs, *other)] == [1] * 5


def test_a_run_that_comes_twice_is_one_point(made_run):
    run = made_run()
    assert len(entries([(run, "this session"), (run, "shipped")], False)) == 1


def test_runs_of_other_calibration_version_or_origin_are_not_averaged(made_run):
    import dataclasses

    run = made_run()
    others = [
        dataclasses.replace(run, key="1", calibration=8),
        dataclasses.replace(run, key="2", version="0.1.0"),
        dataclasses.replace(run, key="3", network={"name": "mnist-residual", "seed": 0}),
    ]
    assert len(points(run, *others, averaged=True)) == 4
    assert len(entries([(run, "a"), (dataclasses.replace(run, key="4"), "b")], True)) == 2


def test_filters(made_run):
    runs = [
        made_run("gpfq"),
        made_run("frame", choices={"bits": 1, "step_rule": "range-column"}),
        made_run("gpfq", network="mnist-residual", seed=1, label="tuned by hand"),
    ]
    pairs = [(run, "shipped") for run in runs]

    def kept(**given):
        return [one.method + " " + one.network for one in Filter(**given).chosen(pairs)]

    assert len(kept()) == 3
    assert kept(network="mnist-residual") == ["gpfq mnist-residual"]
    assert kept(methods=("frame",)) == ["frame mnist-fnn"]
    assert kept(seed="1") == ["gpfq mnist-residual"]
    assert kept(text="HAND tuned") == ["gpfq mnist-residual"] and kept(text="range-column frame") == ["frame mnist-fnn"]
    assert kept(text="nowhere") == [] and len(kept(text="shipped", network=ALL, seed=AVERAGED)) == 3


def test_settings_name_what_is_not_default_and_bits_always():
    method = METHODS["gpfq"](bits=4, fit="mse").to_dict()
    assert changed_fields(method) == {"bits": 4, "fit": "mse"}
    assert changed_fields({"name": "of another program", "knob": 3, "empty": None}) == {"knob": 3}


@given(
    st.dictionaries(
        st.sampled_from(sorted(FIGURES)),
        st.tuples(st.integers(-999, 999), st.integers(0, 999)).map(lambda ends: (ends[0] / 8, (ends[0] + ends[1]) / 8)),
        max_size=4,
    ),
    st.frozensets(st.sampled_from(["frame", "gpfq", "round-to-nearest"]), min_size=1),
)
def test_a_brush_survives_the_link(ranges, names):
    rounded = {name: (float(f"{low:.4g}"), float(f"{high:.4g}")) for name, (low, high) in ranges.items()}
    brush = rounded | {"method": names}
    assert parse_brush(write_brush(brush)) == brush


@pytest.mark.parametrize("text", ["bits", "bits=2", "bits=2..1", "bits=a..b", "bits=nan..2", "size=1..2", "=1..2"])
def test_a_brush_that_cannot_be_read_is_refused(text):
    with pytest.raises(InputError, match="brush must be written like"):
        parse_brush(text)


def test_the_brush_keeps_what_is_inside_every_range(made_run):
    some = points(made_run(bits=1.0), made_run("frame", bits=2.0), made_run(bits=3.0), made_run(problem="no"))
    assert [one.values["bits"] for one in brushed(some, parse_brush("bits=1..2"))] == [1.0, 2.0]
    assert [one.method for one in brushed(some, parse_brush("bits=..2.5; method=frame"))] == ["frame"]
    assert len(brushed(some, {})) == 4 and len(brushed(some, parse_brush("bits=.."))) == 3


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_ticks_lie_at_their_values(name):
    low, high = (
        (3.0, 6.5)
        if name == "bytes"
        else {"log": (-2.0, 1.5), "share": (0.0, 3.0), "linear": (-0.2, 0.9)}[FIGURES[name].scale]
    )
    at, texts = ticks(name, low, high)
    assert 3 <= len(at) <= 12 and len(set(texts)) == len(texts) == len(at)
    assert all(low <= position <= high for position in at) and sorted(at) == at
    np.testing.assert_allclose(place(name, [value_at(name, position) for position in at]), at, atol=1e-9)


def test_figures_of_strangers_are_checked(made_run):
    check([made_run(), made_run(problem="no")])
    for strange in ({"bytes": 10**400}, {"accuracy": 1.5}, {"sparsity": float("inf")}):
        with pytest.raises(InputError, match="runs must have figures that can be drawn"):
            check([made_run(**strange)])
    for strange in ({"shape": ("x", 3)}, {"shape": (0,)}, {"name": "x" * 999}, {"levels": 10**400}):
        with pytest.raises(InputError, match="runs must have figures that can be drawn"):
            check([made_run(layers=[{"name": "one"} | strange])])
    with pytest.raises(InputError, match="figures"):
        check([made_run(choices={"bits": "x" * 10_000})])
    json.dumps(changed_fields({"name": ["gpfq"]}))
