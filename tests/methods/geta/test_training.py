"""Whole runs: what they promise at the end, how they stop and go on, and what they refuse."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.compression import packed_file
from sdqviz.compression.question import Question
from sdqviz.explore import what_if
from sdqviz.methods.geta import training
from sdqviz.methods.geta.recording import Recording
from sdqviz.methods.method import Reduction
from sdqviz.networks.learned_quantizer import LearnedQuantizer

GETA = sq.METHODS["geta"]
SHORT = {
    "batch": 16, "warm_up_steps": 3, "projection_steps": 6, "joint_steps": 6, "cool_down_steps": 4,
    "projection_periods": 3, "pruning_periods": 2,
}  # fmt: skip


def data(*shape: int) -> sq.Dataset:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 240)
    inputs = rng.standard_normal((240, *shape)).astype(np.float32)
    inputs[np.arange(240), labels % shape[0]] += 2.0  # there is something to learn
    return sq.Dataset("blobs", inputs[:160], labels[:160], inputs[160:], labels[160:])


def dense() -> sq.Network:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Dropout(0.5), nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3))
    return sq.Network(module, torch.zeros(1, 6), data(6))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.second, self.deep = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.output = nn.Linear(8, 3)

    def forward(self, inputs):
        stem = torch.relu(self.norm(self.first(inputs)))
        stem = stem + self.deep(torch.relu(self.second(stem)))
        return self.output(stem.mean((2, 3)))


def residual() -> sq.Network:
    torch.manual_seed(0)
    return sq.Network(Residual(), torch.zeros(1, 3, 5, 5), data(3, 5, 5))


class StopAt:
    """A listener and a should_stop that agrees once so many steps are taken; in short runs every step is recorded."""

    def __init__(self, step: int) -> None:
        self.step, self.taken = step, -1

    def listen(self, recording: Recording) -> None:
        self.taken = recording.moments[-1].step

    def __call__(self) -> bool:
        return self.taken >= self.step


@pytest.mark.parametrize("make", [dense, residual])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_promises_hold_and_the_network_is_left_alone(make, optimizer):
    network = make()
    before, state = network.fingerprint, torch.get_rng_state()
    trained = training.train(network, GETA(**SHORT, optimizer=optimizer, bits_low=3, bits_high=7), seed=1)
    assert network.fingerprint == before
    assert torch.equal(torch.get_rng_state(), state)
    total = sum(group.units for group in trained.graph.groups if group.prunable)
    assert sum(len(units) for units in trained.removed.values()) == round(0.5 * total)
    parameters = dict(trained.module.named_parameters())
    for place, units in trained.removed.items():
        for dependency in trained.graph.groups[place].produced:
            chosen = torch.from_numpy(dependency.index[np.isin(dependency.unit, units)])
            assert not parameters[dependency.parameter].index_select(dependency.dim, chosen).any()
    for part in trained.module.modules():
        if isinstance(part, LearnedQuantizer):
            assert 3 <= part.whole_bits <= 7 and part.bits == pytest.approx(part.whole_bits, abs=1e-3)


@pytest.mark.parametrize("make", [dense, residual])
def test_smaller_network_is_the_trained_one(make, tmp_path):
    network = make()
    choice = GETA(**SHORT)
    trained = training.train(network, choice, seed=2, calibration=network.dataset.calibration(64, 2))
    made = sq.compress(network, choice, 64, seed=2)
    inputs = torch.randn(30, *network.dataset.test_inputs.shape[1:], generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = trained.module(inputs).numpy()
    found = made.network.outputs(inputs.numpy())
    assert np.abs(found - expected).max() < 1e-5
    assert made.network.parameter_count < network.parameter_count
    kinds = {type(part) for part in network.module.modules()} | {LearnedQuantizer}
    assert {type(part) for part in made.network.module.modules()} <= kinds
    made.save(tmp_path / "small.sdq")
    assert np.array_equal(sq.load(tmp_path / "small.sdq", network).outputs(inputs.numpy()), found)
    assert all(row.relative_error >= 0 for row in made.report.layers)


def test_a_file_that_cuts_nonsense_is_refused():
    network = dense()
    made = sq.compress(network, GETA(**SHORT), 32)
    for change in ({"kept": {"0.weight": {"0": [3, 99]}}}, {"kept": {"0.weight": {"0": [3, 1]}}}, {"norms": 3}):
        damaged = copy.deepcopy(made)
        cut = made.reduction.cut.to_dict() | change
        recipe = type("Cut", (), {"to_dict": lambda self, cut=cut: cut})()
        object.__setattr__(damaged, "reduction", Reduction(recipe, made.reduction.input_quantizers))
        with pytest.raises(sq.InputError, match="must cut channels that the network has"):
            packed_file.read(damaged.to_bytes()).rebuild(network)


@pytest.mark.parametrize("steps", [(0, 5, 11, 17), pytest.param(range(19), marks=pytest.mark.slow)])
def test_runs_are_stopped_and_gone_on_from_at_any_step(tmp_path, steps):
    network, choice = residual(), GETA(**SHORT)
    whole = training.train(network, choice, seed=3, on_moment=lambda _: None)
    for step in steps:
        checkpoint = tmp_path / f"{step}.state"
        stop = StopAt(step)
        with pytest.raises(sq.Stopped):
            training.train(network, choice, 3, None, stop, checkpoint, stop.listen)
        assert torch.load(checkpoint, weights_only=True)["taken"] == step
        again = training.train(network, choice, 3, None, None, checkpoint, lambda _: None)
        for (name, one), two in zip(whole.module.state_dict().items(), again.module.state_dict().values(), strict=True):
            assert torch.equal(one, two), (step, name)
        assert comparable(again.recording) == comparable(whole.recording)


def comparable(recording: Recording) -> str:
    values = recording.to_dict()
    values.pop("seconds")
    return repr(values)


def test_another_run_and_a_damaged_file_are_not_gone_on_from(tmp_path):
    network, choice = dense(), GETA(**SHORT)
    checkpoint = tmp_path / "state"
    stop = StopAt(9)
    with pytest.raises(sq.Stopped):
        training.train(network, choice, 0, None, stop, checkpoint, stop.listen)
    fresh = training.train(network, choice, seed=1)
    for content in (None, b"nonsense"):
        if content is not None:
            checkpoint.write_bytes(content)
        other = training.train(network, choice, 1, None, None, checkpoint)
        assert all(
            torch.equal(one, two)
            for one, two in zip(fresh.module.state_dict().values(), other.module.state_dict().values(), strict=True)
        )


def test_recording_grows_and_ends_at_the_reported_cost():
    network = residual()
    choice = GETA(**SHORT)
    seen: list[Recording] = []
    trained = training.train(network, choice, 0, on_moment=seen.append)
    assert [len(one.moments) for one in seen] == list(range(1, choice.plan.steps + 2))
    last = seen[-1]
    assert last.moments == trained.recording.moments
    assert Recording.from_dict(last.to_dict()).to_dict() == last.to_dict()
    assert {moment.stage for moment in last.moments} == {"warm-up", "projection", "joint", "cool-down"}
    assert last.moments[-1].zero == pytest.approx(0.5, abs=0.05) and last.moments[0].zero == 0
    assert [m.accuracy is not None for m in last.moments][-1]
    # counted on the layers of the smaller network, not from shares of the original
    made = sq.compress(network, choice, network.dataset.calibration(160, 0))
    assert made.report.relative_bops == pytest.approx(last.moments[-1].relative_bops, rel=1e-3)
    assert made.report.macs < made.report.original_macs


def test_loss_that_is_not_finite_stops_with_the_step(tmp_path):
    good = dense()
    module = copy.deepcopy(good.module)
    with torch.no_grad():
        module[0].weight.mul_(1000)
    inputs = np.array(good.dataset.calibration_inputs)
    order = np.random.default_rng([0, 0]).permutation(160)
    inputs[order[5 * 16 + 3]] = 3e38  # the sixth batch of the first pass overflows
    pool = sq.Dataset("blobs", inputs, good.dataset.calibration_labels, *good.dataset.test())
    network = sq.Network(module, torch.zeros(1, 6), pool)
    checkpoint = tmp_path / "state"
    choice = GETA(**SHORT, quantize_activations=False)
    with pytest.raises(sq.InputError, match=r"loss must stay finite, got (nan|inf) at step 6: lower rate") as caught:
        training.train(network, choice, 0, None, None, checkpoint)
    assert str(caught.value).endswith("the last good state is kept in state")
    state = torch.load(checkpoint, weights_only=True)
    assert torch.isfinite(state["values"]).all() and state["taken"] < 6


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, inputs):
        return self.last(torch.relu(self.middle(torch.relu(self.middle(torch.relu(self.first(inputs)))))))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 3)
        self.middle = self.first

    def forward(self, inputs):
        return self.last(self.middle(torch.relu(self.first(inputs))))


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, inputs):
        hidden = self.first(inputs)
        return self.last(hidden if hidden.sum() > 0 else -hidden)


class Untaught(nn.Sequential):
    @torch.no_grad()
    def forward(self, inputs):
        return super().forward(inputs)


@pytest.mark.parametrize(
    ("module", "complaint"),
    [
        (nn.Sequential(nn.Linear(6, 3)), "channels that can be removed, got none"),
        (Twice(), "must not use a layer in two places, got middle"),
        (Tied(), "must not use a layer in two places, got middle"),
        (Branching(), "without control flow that depends on values"),
        (Untaught(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3)), "must let gradients through its forward to be trained"),
        (nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 3)).bfloat16(), "in float32 to be trained, got 0.weight of torch"),
    ],
)
def test_networks_that_cannot_be_pruned_are_refused(module, complaint):
    network = sq.Network(module, torch.zeros(1, 6), data(6))
    with pytest.raises(sq.InputError, match=complaint):
        sq.compress(network, GETA(**SHORT), 32)


def test_batches_that_do_not_fit_are_refused():
    with pytest.raises(sq.InputError, match="batch must be at least 2 for a network with batch normalisation, got 1"):
        training.train(residual(), GETA(**{**SHORT, "batch": 1}))
    with pytest.raises(sq.InputError, match="batch must be at most the 160 calibration inputs, got 161"):
        training.train(dense(), GETA(**{**SHORT, "batch": 161}))
    with pytest.raises(sq.InputError, match="dataset must be given"):
        training.train(sq.Network(dense().module, torch.zeros(1, 6)), GETA(**SHORT))
    with pytest.raises(sq.InputError, match="keeps a unit"):
        training.train(dense(), GETA(**SHORT, sparsity=0.95))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist-fnn", "mnist-residual", "mnist-lenet", "resnet20", "vgg7", "vit-tiny"])
def test_catalogue_trains_for_fifty_steps_and_is_cut(name):
    network = sq.NETWORKS[name](seed=0).load()
    choice = GETA(batch=16, warm_up_steps=5, projection_steps=15, joint_steps=15, cool_down_steps=15)
    trained = training.train(network, choice, calibration=network.dataset.calibration(64, 0))
    made = sq.compress(network, choice, 64)
    inputs = torch.rand(20, *network.example_input.shape[1:], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = trained.module(inputs).numpy()
    assert np.abs(made.network.outputs(inputs.numpy()) - expected).max() < 1e-5
    assert made.report.parameters < made.report.original_parameters


def test_what_if_answers_with_rounding_beside_and_refuses_the_ladder():
    method = GETA(**{**SHORT, "batch": 32}, sparsity=0.4)
    question = Question(sq.NETWORKS["mnist-fnn"](seed=0), method, calibration=32)
    assert 0 < what_if.estimated_seconds(question) < 60
    answer = what_if.answer(question)
    report = answer.comparison.report
    assert sum(answer.comparison.parts.values()) == pytest.approx(report.bytes)
    assert (
        answer.comparison.rounding.best.bits_per_weight <= report.bits_per_weight
        or not answer.comparison.rounding.affordable
    )
    assert report.relative_bops < 0.1 and report.parameters < report.original_parameters
    with pytest.raises(sq.InputError, match="channels cut out"):
        what_if.ladder(answer)
    assert not any(bound.holds for bound in answer.bounds)
