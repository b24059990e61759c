import dataclasses
import gzip
import json

import pytest

from sdqviz.error import InputError
from sdqviz.methods.geta import recording
from sdqviz.methods.geta.recording import Beside, Moment, Recording, Stage
from sdqviz.pruning.outline import GroupOutline, Vertex


def small():
    return Recording(
        network={"name": "mnist-lenet", "seed": 0},
        method={"name": "geta", "sparsity": 0.5},
        seed=3,
        stages=(Stage("warm-up", 0, 10), Stage("joint", 10, 30)),
        vertices=(Vertex("conv1", "Conv2d", (0,), 6, 4), Vertex("conv2", "Conv2d", (1,), 16, 16)),
        edges=((0, 1),),
        groups=(
            GroupOutline("conv1", 6, True, "", ("conv1.weight, dimension 0: produces",), (1, 4)),
            GroupOutline("conv2", 16, False, "it is the output", ("conv2.weight, dimension 0: produces",)),
        ),
        moments=(
            Moment(0, "warm-up", 2.5, 0.98, 0.0, 0.0, 1.0, {"conv1": 16.0}, {"conv1": 8.0}),
            Moment(20, "joint", 0.5, None, 1.0, 0.5, 0.1, {"conv1": 7.4}, {"conv1": 8.0}, 2),
        ),
        accuracy_before=0.99,
        beside=(Beside("fine-tuned", 0.97, 0.02, 8.1, 0.5), Beside("not tested", None, 0.03, 8.0, 0.0)),
        seconds=12.5,
        version="0.2.0",
    )


def test_a_recording_survives_json_and_its_file(tmp_path):
    run = small()
    assert Recording.from_dict(json.loads(json.dumps(run.to_dict()))) == run
    run.save(tmp_path / "run.json.gz")
    assert Recording.load(tmp_path / "run.json.gz") == run
    assert run.to_bytes() == (tmp_path / "run.json.gz").read_bytes()
    assert run.steps == 30 and not run.finished


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"stages": ()}, "stages must follow one another"),
        ({"stages": (Stage("a", 0, 10), Stage("b", 11, 30))}, "stages must follow one another"),
        ({"edges": ((0, 2),)}, "edges must join vertices"),
        ({"vertices": (Vertex("a", "Conv2d", (7,), 1, 1), Vertex("b", "Conv2d", (0,), 1, 1))}, "must name groups"),
        ({"groups": (GroupOutline("a", 2, True, "", (), (2,)),) * 2}, "removed units must be of their group"),
        ({"moments": small().moments[::-1]}, "moments must follow one another"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(change, sentence):
    broken = dataclasses.replace(small(), **change).to_dict()
    with pytest.raises(InputError, match=sentence):
        Recording.from_dict(json.loads(json.dumps(broken)))


@pytest.mark.parametrize(
    "change",
    [
        {"moments": [{"step": 1}]},
        {"moments": [{**dataclasses.asdict(small().moments[0]), "loss": "high"}]},
        {"moments": [{**dataclasses.asdict(small().moments[0]), "weight_bits": [1, 2]}]},
        {"report": {"network": "mnist-lenet"}},
        {"network": "mnist-lenet"},
        {"beside": [{"label": "only a label"}]},
        {"colour": "blue"},
    ],
)
def test_damaged_values_are_one_sentence(change):
    with pytest.raises(InputError, match="recording must be one that sdqviz wrote"):
        Recording.from_dict(small().to_dict() | change)


@pytest.mark.parametrize("data", [b"", b"no", gzip.compress(b"{"), gzip.compress(b"[" * 100_000), gzip.compress(b"[]")])
def test_other_files_are_refused_by_name(data, tmp_path):
    with pytest.raises(InputError, match=r"x\.json\.gz must be a recording"):
        Recording.from_bytes(data, "x.json.gz")
    file = tmp_path / "x.json.gz"
    with pytest.raises(InputError, match=r"x\.json\.gz must be a recording"):
        Recording.load(file)


def test_a_file_that_unpacks_without_end_is_refused_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr(recording, "LARGEST", 1 << 20)
    with pytest.raises(InputError, match="must unpack to at most 1 MiB"):
        Recording.from_bytes(gzip.compress(b" " * (2 << 20)), "bomb.json.gz")


def test_every_shipped_recording_reads():
    for name, file in recording.shipped().items():
        run = Recording.load(file)
        assert run.finished and run.moments[-1].step <= run.steps, name
        assert Recording.from_bytes(run.to_bytes()) == run
