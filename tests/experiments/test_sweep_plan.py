"""Plans of sweeps: what a file of grids stands for, and what is refused before anything runs."""

import re

import pytest

from sdqviz import asset
from sdqviz.error import InputError
from sdqviz.experiments.sweep_plan import MOST_RUNS, Plan, describe
from sdqviz.methods import METHODS
from sdqviz.networks.catalogue import NETWORKS


def test_a_plan_is_the_union_of_its_grids_each_run_once_in_order():
    plan = Plan.from_dict(
        {
            "title": "t",
            "network": ["mnist-fnn", "mnist-lenet"],
            "seed": 3,
            "runs": [
                {"method": "frame", "choices": {"bits": [1, 2], "bits_by_layer": [{}, {"output": 4}]}},
                {"method": ["frame", "gptq"], "choices": {"bits": 2}, "calibration": 64},
                {"method": "frame", "choices": {"bits": 2}, "network": "mnist-fnn", "label": "again"},
                {"method": "gpfq", "network_choices": {"seed": [0, 2]}, "calibration": [0, 9], "seed": [0, 1]},
            ],
        }
    )
    assert plan.title == "t" and len(plan) == 8 + 4 + 0 + 16
    frames = list(plan.runs[:8])
    expected = [
        (NETWORKS[name](), METHODS["frame"](bits=bits, bits_by_layer=by_layer), 512, 3)
        for name in ("mnist-fnn", "mnist-lenet")
        for bits in (1, 2)
        for by_layer in ({}, {"output": 4})
    ]
    assert [(q.network, q.method, q.calibration, q.seed) for q in frames] == expected
    last = plan.runs[-1]
    assert (last.network, last.calibration, last.seed) == (NETWORKS["mnist-lenet"](seed=2), 9, 1)
    assert [asked.label for asked in plan.runs[:3]] == [
        "frame",
        "frame: bits_by_layer={output: 4}",
        "frame: bits=2",
    ]


def test_a_label_tells_what_differs():
    values = {
        "network": "mnist-fnn",
        "label": "mine",
        "method": ["gpfq", "gptq"],
        "choices": {"bits": [2, 3], "fit": "mse"},
    }
    assert Plan.from_dict({"runs": [values]}).runs[1].label == "mine (gpfq, bits=3)"
    assert Plan.from_dict({"runs": [values | {"method": "gptq", "choices": {"bits": 2}}]}).runs[0].label == "mine"
    assert describe(METHODS["frame"](bits=2, step=0.25, size_by_layer={"output": 12})) == (
        "frame: bits=2, step=0.25, size_by_layer={output: 12}"
    )


GOOD = {"network": "mnist-fnn", "method": "frame"}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "a plan must have at least one table [[runs]], got none"),
        ({"runs": []}, "a plan must have at least one table [[runs]], got none"),
        ({"runs": [3]}, "a plan must have at least one table [[runs]], got none"),
        ({"run": [GOOD]}, "a plan has no key 'run'; its keys are title, runs, network,"),
        ({"runs": [GOOD, GOOD | {"choice": {}}]}, "runs 2: it has no key 'choice'; its keys are label, network,"),
        ({"runs": [{"method": "frame"}]}, "runs 1: network must be given, got none"),
        ({"runs": [{"network": "mnist-fnn"}]}, "runs 1: method must be given, got none"),
        ({"runs": [GOOD | {"method": "magic"}]}, "runs 1: method must be one of frame, "),
        ({"runs": [GOOD | {"method": 3}]}, "runs 1: a method needs a name, got 3"),
        ({"runs": [GOOD | {"choices": {"bits": [1, 17]}}]}, "runs 1: bits must be at most 16, got 17"),
        ({"runs": [GOOD | {"choices": {"colour": 1}}]}, "runs 1: frame has no field 'colour'"),
        ({"runs": [GOOD | {"choices": {"bits": []}}]}, "runs 1: choices.bits must have at least one value"),
        ({"runs": [GOOD | {"choices": [1]}]}, "runs 1: choices must be a table of fields, got [1]"),
        ({"runs": [GOOD | {"network_choices": {"seed": -1}}]}, "runs 1: seed must be at least 0, got -1"),
        ({"runs": [GOOD | {"seed": -1}]}, "runs 1: seed must be a whole number from 0 to 2147483647, got -1"),
        ({"runs": [GOOD | {"calibration": True}]}, "calibration must be a whole number from 0 to 60000, got True"),
        ({"runs": [GOOD | {"label": 7}]}, "runs 1: label must be a text of at most 200 characters, got '7'"),
        (
            {"runs": [GOOD | {"seed": list(range(101)), "calibration": list(range(100))}]},
            f"runs 1: a plan must have at most {MOST_RUNS:,} runs, got 10,100 or more",
        ),
        ({"runs": [GOOD | {"seed": list(range(6000))}] * 2}, "runs 2: a plan must have at most 10,000 runs"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_run_is_refused_before_anything_runs(values, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        Plan.from_dict(values)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"runs = [", "must be a TOML file that can be read"),
        (b"\xff\xfe", "must be a TOML file that can be read"),
        (b"#" * (1 << 21), "must be at most 1 MiB, got 2.0 MiB"),
        (None, "must be a TOML file that can be read"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(tmp_path, content, words):
    file = tmp_path / "plan.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=f"plan plan.toml {words}"):
        Plan.read(file)


def test_the_example_shows_every_key():
    file = asset.folder() / "sweeps" / "example.toml"
    assert len(Plan.read(file)) == 14
    text = file.read_text("utf-8")
    for key in ("title", "network", "network_choices", "method", "choices", "calibration", "seed", "label"):
        assert re.search(rf"^{key} = ", text, re.MULTILINE), key
