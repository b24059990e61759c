"""Training: a function of the seed, resumed without a trace after an interruption, stopped on request."""

import dataclasses
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz import asset
from sdqviz.networks import training
from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.networks.dataset import Dataset
from sdqviz.networks.training import Recipe, read_record, train

TARGETS = {
    "mnist-fnn": 0.975, "mnist-residual": 0.975, "mnist-lenet": 0.985,
    "resnet20": 0.985, "vgg7": 0.985, "vit-tiny": 0.97,
}  # fmt: skip
SHIPPED = [(name, seed) for name in sorted(TARGETS) for seed in sq.NETWORKS[name].shipped_seeds]


def blobs() -> Dataset:
    """Three noisy 2 × 2 patterns, 120 images to train on and 60 to test with."""
    generator = np.random.default_rng(5)
    centers = np.array([[1, 0, 0, 1], [0, 1, 1, 0], [1, 1, 0, 0]], np.float32).reshape(3, 1, 2, 2)
    labels = generator.integers(0, 3, 180)
    inputs = centers[labels] + 0.2 * generator.standard_normal((180, 1, 2, 2)).astype(np.float32)
    return Dataset("blobs", inputs[:120], labels[:120], inputs[120:], labels[120:])


@dataclasses.dataclass(frozen=True)
class Tiny(NetworkChoice):
    """A network small enough to be trained in milliseconds; not part of the catalogue."""

    name = "tiny"
    title = "Tiny"
    recipe = Recipe(epochs=3, batch=20, rate=2e-2, decay=0.1)

    def layout(self) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 3, 2, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(27, 3)
        )

    def data(self) -> Dataset:
        return blobs()


class Interrupted(BaseException):
    """Like a signal: nothing in the program expects it."""


def stop_after(count: int):
    calls = iter(range(10**9))
    return lambda: next(calls) >= count


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    first, second = train(Tiny(seed=7), folder=tmp_path / "a"), train(Tiny(seed=7), folder=tmp_path / "b")
    assert first.name == "tiny-seed7.safetensors"
    assert first.read_bytes() == second.read_bytes()
    assert [file.name for file in first.parent.iterdir()] == [first.name]  # no checkpoint is left behind
    other = train(Tiny(seed=8), folder=tmp_path / "a")
    assert other.read_bytes() != first.read_bytes()


def test_what_is_stored_beside_the_weights(tmp_path):
    record = read_record(train(Tiny(seed=3), folder=tmp_path))
    assert (record["name"], record["seed"]) == ("tiny", 3)
    assert record["recipe"] == Tiny.recipe.to_json()
    assert record["torch"] == str(torch.__version__)
    assert record["accuracy"] > 0.9  # it has learned something
    assert read_record(tmp_path / "absent") == {}


@pytest.mark.parametrize("steps", [0, 5, 6, 8, 17])
def test_a_stopped_run_goes_on_as_if_nothing_had_happened(tmp_path, steps):
    whole = train(Tiny(seed=5), folder=tmp_path / "whole").read_bytes()
    with pytest.raises(sq.Stopped):
        train(Tiny(seed=5), should_stop=stop_after(steps), folder=tmp_path)
    assert not (tmp_path / "tiny-seed5.safetensors").exists()
    seen = []
    resumed = train(Tiny(seed=5), progress=lambda done, total, _: seen.append((done, total)), folder=tmp_path)
    assert resumed.read_bytes() == whole
    assert seen[0] == (6 * (steps // 6), 18)  # finished epochs are not repeated
    assert seen[-1] == (18, 18)


def test_a_killed_run_goes_on_from_the_last_epoch(tmp_path):
    whole = train(Tiny(), folder=tmp_path / "whole").read_bytes()

    def kill(done, total, message):
        if done >= 12:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(Tiny(), progress=kill, folder=tmp_path)
    seen = []
    assert train(Tiny(), progress=lambda done, *_: seen.append(done), folder=tmp_path).read_bytes() == whole
    assert seen[0] == 12


@pytest.mark.parametrize("damage", ["torn", "other recipe", "not a table", "pickled code"])
def test_an_unusable_checkpoint_is_not_used(tmp_path, damage):
    whole = train(Tiny(), folder=tmp_path / "whole").read_bytes()
    with pytest.raises(sq.Stopped):
        train(Tiny(), should_stop=stop_after(13), folder=tmp_path)
    checkpoint = tmp_path / "tiny-seed0.partial"
    state = torch.load(checkpoint, weights_only=True)
    if damage == "torn":
        checkpoint.write_bytes(checkpoint.read_bytes()[:300])
    elif damage == "other recipe":
        torch.save(state | {"recipe": "{}"}, checkpoint)
    elif damage == "not a table":
        torch.save([1, 2], checkpoint)
    else:
        torch.save(state | {"epoch": Path()}, checkpoint)  # anything but plain data needs code to unpickle
    seen = []
    assert train(Tiny(), progress=lambda done, *_: seen.append(done), folder=tmp_path).read_bytes() == whole
    assert seen[0] == 0


def test_global_state_is_left_alone(tmp_path):
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    train(Tiny(), folder=tmp_path)
    with pytest.raises(sq.Stopped):
        train(Tiny(seed=1), should_stop=lambda: True, folder=tmp_path)
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_num_threads() == threads


def test_building_is_a_function_of_the_seed_even_with_other_threads_about():
    choice = sq.NETWORKS["mnist-fnn"](seed=4)
    expected = choice.build().state_dict()
    results = []

    def build() -> None:
        results.append(choice.build().state_dict())
        torch.rand(10)

    threads = [threading.Thread(target=build) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    for state in results:
        assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert not torch.equal(sq.NETWORKS["mnist-fnn"](seed=5).build()[1].weight, expected["hidden1.weight"])


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_initial_weights_have_torchs_default_distribution(name):
    for part in sq.NETWORKS[name]().build().modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            bound = part.weight[0].numel() ** -0.5
            weight = part.weight.detach()
            assert weight.abs().max() <= bound
            assert weight.numel() < 500 or abs(float(weight.std()) / (bound / 3**0.5) - 1) < 0.1
        elif isinstance(part, nn.BatchNorm2d | nn.LayerNorm):
            assert torch.equal(part.weight, torch.ones_like(part.weight))
            assert torch.equal(part.bias, torch.zeros_like(part.bias))
            if isinstance(part, nn.BatchNorm2d):
                assert torch.equal(part.running_var, torch.ones_like(part.running_var))
        else:
            for parameter in part.parameters(recurse=False):  # a class token, positions
                assert parameter.numel() < 500 or abs(float(parameter.detach().std()) / 0.02 - 1) < 0.1
                assert 0 < parameter.abs().max() < 0.1


def test_load_trains_once_keeps_the_result_and_mends_a_damaged_file(tmp_path, monkeypatch):
    monkeypatch.setenv("SDQVIZ_CACHE", str(tmp_path))
    seen = []
    first = Tiny(seed=9).load(progress=lambda *arguments: seen.append(arguments))
    assert seen[-1] == (18, 18, "trained tiny, seed 9")
    assert (first.name, first.seed) == ("tiny", 9)
    assert first.accuracy() > 0.9
    file = tmp_path / "tiny-seed9.safetensors"
    again = Tiny(seed=9).load(should_stop=lambda: True)  # a second training would be stopped
    assert again.fingerprint == first.fingerprint
    for content in (file.read_bytes()[:500], b""):
        file.write_bytes(content)
        with pytest.raises(sq.Stopped):
            Tiny(seed=9).load(should_stop=lambda: True)
        assert Tiny(seed=9).load().fingerprint == first.fingerprint


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(sq.InputError, match="folder must be writable, got"):
        train(Tiny(), folder=tmp_path / "file" / "below")
    monkeypatch.delenv("SDQVIZ_CACHE", raising=False)
    assert training.cache_folder().name == "sdqviz"


def test_a_batch_larger_than_the_data_is_refused(tmp_path):
    class Greedy(Tiny):
        recipe = Recipe(epochs=1, batch=500, rate=1e-3, decay=0.0)

    with pytest.raises(sq.InputError, match="batch must be at most the 120 training inputs, got 500"):
        train(Greedy(), folder=tmp_path)


@pytest.mark.parametrize(("name", "seed"), SHIPPED)
def test_shipped_files_say_how_they_were_made(name, seed):
    record = read_record(asset.path(f"networks/{name}-seed{seed}.safetensors"))
    assert (record["name"], record["seed"]) == (name, seed)
    assert record["recipe"] == sq.NETWORKS[name].recipe.to_json()
    assert record["accuracy"] >= TARGETS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_training_anew_gives_the_shipped_network(name, tmp_path):
    """About the same accuracy on any machine; bit for bit only on the one that made the shipped file."""
    anew = read_record(train(sq.NETWORKS[name](seed=0), folder=tmp_path))["accuracy"]
    shipped = read_record(asset.path(f"networks/{name}-seed0.safetensors"))["accuracy"]
    assert anew >= TARGETS[name]
    assert abs(anew - shipped) <= 0.004
