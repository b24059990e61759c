"""What version 0.2.0 wrote is still read: packed files, stores and files of runs, recordings, presets, links."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import visitor
from torch import nn

import sdqviz as sq
from sdqviz.compression import packed_file
from sdqviz.experiments.run_file import read_runs
from sdqviz.experiments.run_store import RunStore
from sdqviz.explore import stored
from sdqviz.explore.preset import Preset
from sdqviz.methods.geta.recording import Recording
from sdqviz.strict_json import read_json

FOLDER = Path(__file__).parent / "data" / "0.2"
EXPECTED = read_json((FOLDER / "expected.json").read_bytes(), "figures must be")
PRESETS = read_json((FOLDER / "presets.json").read_bytes(), "presets must be")


@pytest.fixture(scope="module")
def network():
    """The little network whose compressed forms are stored; its weights are drawn in the order of its parameters."""
    generator = torch.Generator().manual_seed(7)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 12), nn.ReLU(), nn.Linear(12, 5))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return sq.Network(module.eval(), torch.linspace(-1, 1, 192).reshape(3, 1, 8, 8))


@pytest.mark.parametrize("name", sorted(set(EXPECTED) - {"catalogue"}))
def test_a_packed_file_gives_the_outputs_it_gave(network, name):
    file = packed_file.read(FOLDER / f"{name}.sdq")
    assert file.recipe["version"] == "0.2.0" and file.recipe["method"]["name"] in sq.METHODS
    sq.METHODS.from_dict(file.recipe["method"])  # every field of then is known now
    outputs = file.rebuild(network).outputs(network.example_input.numpy())
    np.testing.assert_allclose(outputs, EXPECTED[name]["outputs"], rtol=1e-5, atol=1e-6)


def test_a_packed_file_of_the_catalogue_needs_nothing_else():
    found = sq.load(FOLDER / "catalogue.sdq")
    assert found.name == "mnist-lenet" and found.accuracy() == EXPECTED["catalogue"]["accuracy"]


def test_the_store_and_the_file_of_a_sweep_hold_the_same_five_runs(tmp_path):
    shutil.copy(FOLDER / "runs.sqlite", tmp_path)
    with RunStore(tmp_path / "runs.sqlite") as store:
        kept = store.runs()
    assert [run.to_dict() for run in kept] == [run.to_dict() for run in read_runs(FOLDER / "runs.json.gz")]
    assert len(kept) == 5 and [run.version for run in kept] == ["0.2.0"] * 5
    assert sum(bool(run.problem) for run in kept) == 2 and "measured" not in kept[0].to_dict()
    for run in kept:
        assert run.question.network.to_dict() == run.network and run.question.calibration == 64
        if run.report is not None:
            assert 0.5 < run.report.accuracy_after < 1 and len(run.report.layers) == 3


def test_a_recording_is_whole():
    found = Recording.load(FOLDER / "recording.json.gz")
    assert found.finished and found.report["accuracy_after"] > 0.1
    assert Recording.from_bytes(found.to_bytes()).to_dict() == found.to_dict()


def test_presets_name_pages_that_are_there():
    assert len(PRESETS) == 31
    for name, values in PRESETS.items():
        preset = Preset(name=name, **values)
        assert preset.page in stored.PAGE_MODULES and preset.choices and preset.result, name


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PRESETS))
def test_links_open_their_page_without_complaint(name):
    page = visitor.turn(visitor.arrive(seconds=120), PRESETS[name]["page"], **PRESETS[name]["choices"], v="0.2.0")
    assert not page.error
    told = [one.value for one in page.warning]
    assert not [text for text in told if "not a control" in text or "is used instead" in text], told
