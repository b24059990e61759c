"""Networks of torchvision: where names and weights come from, what is refused, and errors against sums by hand."""

import dataclasses
import json
import os
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

import sdqviz as sq
from sdqviz.compression.measurement import measure
from sdqviz.networks.catalogue.network_choice import NetworkChoice
from sdqviz.networks.catalogue.torchvision_zoo import RANDOM, TorchvisionChoice
from sdqviz.networks.dataset import Dataset, from_npz
from sdqviz.networks.state_file import read_state

SMALL = "mobilenet_v3_small"


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty cache of torch's, and no way to the network."""

    def refuse(url, *_, **__):
        raise OSError(f"the test went to {url}")

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def original():
    """A small network of torchvision's with weights of its own, and an input for it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        module = torchvision.models.mobilenet_v3_small(weights=None, num_classes=7).eval()
        return module, torch.randn(2, 3, 32, 32)


def choice(**values):
    return sq.NETWORKS[SMALL](**{"size": 32, "classes": 7} | values)


def refusal(call):
    with pytest.raises(sq.InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_names_are_found_but_not_listed_and_only_then_is_torchvision_loaded():
    code = (
        "import sys, sdqviz as sq; assert 'resnet18' not in sorted(sq.NETWORKS); sq.NETWORKS['mnist-fnn']();"
        "assert not {'torch', 'torchvision'} & set(sys.modules); assert 'resnet18' in sq.NETWORKS"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", torchvision.models.list_models(module=torchvision.models))
def test_every_name_of_torchvision_is_a_choice_that_survives_json(name):
    cls = sq.NETWORKS[name]
    assert sq.NETWORKS[name] is cls and issubclass(cls, TorchvisionChoice) and issubclass(cls, NetworkChoice)
    made = cls(seed=3, classes=10)
    assert made.name == cls.title == name and made == cls(seed=3, classes=10) and hash(made) == hash(cls(3, "", 10))
    assert sq.NETWORKS.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert made != cls() and cls().image_size >= 224
    assert all(spec.label and spec.help.endswith(".") for spec in cls.specs().values())


def test_choices_of_two_names_differ_also_where_all_fields_agree():
    classes = [sq.NETWORKS[name] for name in ("resnet18", "resnet34")]
    assert classes[0]() != classes[1]() and classes[0].__name__ != classes[1].__name__
    assert pickle.loads(pickle.dumps(dataclasses.asdict(classes[0]()))) == dataclasses.asdict(classes[1]())


@pytest.mark.parametrize("name", ["resnet19", "fcn_resnet50", "ResNet18", "a b", "", "__import__"])
def test_a_name_that_torchvision_does_not_classify_with_is_refused(name):
    with pytest.raises(KeyError):
        sq.NETWORKS[name]
    known = f"{', '.join(sorted(sq.NETWORKS))} or a name of torchvision's catalogue"
    assert refusal(lambda: sq.NETWORKS[name]) == f"network must be one of {known}, got {name!r}"


# -- weights ---------------------------------------------------------------------------------------


def test_without_weights_they_are_random_by_the_seed_and_it_says_so():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, again, other = (choice(seed=seed).load() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert one.fingerprint == again.fingerprint != other.fingerprint
    assert one.note == RANDOM and RANDOM in repr(one)
    assert one.example_input.shape == (1, 3, 32, 32)
    assert one.outputs(one.example_input).shape == (1, 7)
    # normalisations fitted to noise: the output neither vanishes nor explodes on the way
    assert 1e-3 < np.abs(one.outputs(one.example_input)).max() < 1e3
    assert one.replaced({one.layers[0].name: one.layers[0].weight}).note == RANDOM


@pytest.mark.parametrize("kind", ["safetensors", "pth", "nested", "parallel", "training heads"])
def test_a_weight_file_gives_torchvisions_own_outputs(original, tmp_path, kind):
    module, images = original
    state = {key: value.clone() for key, value in module.state_dict().items()}
    file = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pth")
    if kind == "safetensors":
        save_file(state, file)
    elif kind == "nested":
        torch.save({"state_dict": state, "epoch": 3}, file)
    elif kind == "parallel":
        torch.save({f"module.{key}": value for key, value in state.items()}, file)
    else:
        torch.save(state | ({"aux1.fc.weight": torch.ones(3)} if kind == "training heads" else {}), file)
    network = choice(weights=str(file)).load()
    with torch.no_grad():
        expected = module(images).numpy()
    assert np.array_equal(network.forward(images).numpy(), expected)
    assert network.note == ""


def test_the_cache_of_torch_is_used_where_it_holds_the_file(hub):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        module = torchvision.models.mobilenet_v3_small(weights=None).eval()
    known = torchvision.models.get_model_weights(SMALL).DEFAULT
    torch.save(module.state_dict(), hub / known.url.rsplit("/", 1)[1])
    network = choice(classes=1000).load()
    assert network.note == ""
    with torch.no_grad():
        expected = module(network.example_input).numpy()
    assert np.array_equal(network.outputs(network.example_input), expected)
    assert choice(classes=7).load().note == RANDOM, "the file is for other classes"


def test_nothing_is_fetched_unless_asked_for():
    assert choice(classes=1000).load().note == RANDOM
    url = torchvision.models.get_model_weights(SMALL).DEFAULT.url
    message = refusal(lambda: choice(classes=1000).load(download=True))
    assert message == f"weights of {SMALL} must be downloadable from {url}, got the test went to {url}"
    assert "must have 1000 classes" in refusal(lambda: choice(classes=7).load(download=True))


def test_a_downloaded_file_lands_in_the_cache_of_torch(hub, monkeypatch):
    def fetch(url, file, hash_prefix, progress):
        assert (url, progress) == (torchvision.models.get_model_weights(SMALL).DEFAULT.url, False)
        assert re.fullmatch("[0-9a-f]{8}", hash_prefix) and f"-{hash_prefix}." in file
        torch.save(torchvision.models.mobilenet_v3_small(weights=None).state_dict(), file)

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    downloaded = choice(classes=1000).load(download=True)
    assert len(list(hub.iterdir())) == 1 and downloaded.note == ""
    assert choice(classes=1000).load().fingerprint == downloaded.fingerprint


class Malicious:
    """Writes a file when unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("save", [torch.save, lambda value, file: file.write_bytes(pickle.dumps(value, protocol=2))])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, save):
    target, file = tmp_path / "was-run", tmp_path / "bad.pth"
    save({"features.0.0.weight": Malicious(str(target))}, file)
    message = refusal(choice(weights=str(file)).load)
    assert message.startswith("weights must be a file of tensors, got bad.pth, a pickle that would run code (")
    assert "mkdir" in message and not target.exists()
    file.write_bytes(pickle.dumps(Malicious(str(target)), protocol=5))  # a protocol that torch does not read
    assert refusal(choice(weights=str(file)).load).endswith("which holds something else or is damaged")
    assert not target.exists()


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 torn", b"\x80\x02}q\x00."])
def test_a_file_that_is_no_state_dict_is_refused(tmp_path, suffix, content):
    file = tmp_path / f"bad.{suffix}"
    file.write_bytes(content)
    assert refusal(lambda: read_state(file)).startswith(f"weights must be a file of tensors, got bad.{suffix}, ")


def test_other_contents_and_absent_files_are_refused(tmp_path, original):
    file = tmp_path / "whole.pth"
    torch.save([torch.ones(2)], file)
    assert refusal(lambda: read_state(file)).endswith("which holds list")
    torch.save({"epoch": 3}, file)
    assert refusal(lambda: read_state(file)).endswith("where 'epoch' is int")
    torch.save(original[0], file)  # a whole module is code
    assert "a pickle that would run code" in refusal(lambda: read_state(file))
    assert "got nowhere.pth, which cannot be read" in refusal(choice(weights=str(tmp_path / "nowhere.pth")).load)


def test_a_state_dict_that_does_not_fit_shows_the_first_key_that_differs(original, tmp_path):
    state, file = dict(original[0].state_dict()), tmp_path / "w.pth"
    start = f"weights w.pth must fit {SMALL}, got "
    torch.save(state, file)
    shapes = "(7, 1024) instead of (8, 1024)"
    assert refusal(choice(weights=str(file), classes=8).load) == f"{start}classifier.3.weight of shape {shapes}"
    torch.save({key: value for key, value in state.items() if key != "features.0.1.weight"}, file)
    assert refusal(choice(weights=str(file)).load) == f"{start}no features.0.1.weight"
    torch.save(state | {"extra.weight": torch.ones(1)}, file)
    assert refusal(choice(weights=str(file)).load) == f"{start}extra.weight, which it does not have"


def test_names_of_published_densenet_files_are_understood(tmp_path):
    with torch.random.fork_rng(devices=[]):
        module = torchvision.models.densenet121(weights=None, num_classes=2).eval()
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value
        for key, value in module.state_dict().items()
    }
    assert set(old) != set(module.state_dict())
    torch.save(old, tmp_path / "old.pth")
    network = sq.NETWORKS["densenet121"](weights=str(tmp_path / "old.pth"), classes=2, size=32).load()
    assert torch.equal(
        network.module.state_dict()["features.norm5.weight"], module.state_dict()["features.norm5.weight"]
    )


@pytest.mark.parametrize(("name", "size"), [("vit_b_16", 33), ("maxvit_t", 50)])
def test_a_size_that_does_not_go_with_the_architecture_is_refused(name, size):
    message = refusal(sq.NETWORKS[name](size=size, classes=2).load)
    assert message.startswith(f"size must be one that {name} can be built for, got {size}: ")


# -- data ------------------------------------------------------------------------------------------


def test_ones_own_images_calibrate_and_test(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal((10, 3, 32, 32)).astype(np.float32), rng.integers(0, 7, 10)
    np.savez(tmp_path / "own.npz", images=images, labels=labels)
    network = choice().load(dataset=from_npz(tmp_path / "own.npz"))
    report = sq.compress(network, sq.METHODS["round-to-nearest"](bits=8), calibration=2).report
    right = network.outputs(network.dataset.test_inputs).argmax(1) == network.dataset.test_labels
    assert report.accuracy_before == right.mean() and report.inputs == 2 and report.note == RANDOM


def test_labels_beyond_the_classes_and_images_of_another_shape_are_refused():
    images, labels = np.zeros((2, 3, 32, 32), np.float32), np.array([0, 7])
    own = Dataset("own", images, labels, images, labels)
    assert refusal(lambda: choice().load(dataset=own)) == f"labels must be below the 7 classes of {SMALL}, got 7"
    gray = Dataset("gray", images[:, :1], labels, images[:, :1], labels)
    assert refusal(lambda: choice(classes=8).load(dataset=gray)).startswith("example_input must be accepted")
    assert "images of one's own" in refusal(choice().data)


# -- compression -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", SMALL])
@pytest.mark.parametrize(("method", "values"), [("frame", {"redundancy": 1.1}), ("gpfq", {"fit": "max"})])
def test_methods_compress_every_layer_and_every_error_is_a_number(name, method, values):
    network = sq.NETWORKS[name](size=32).load()
    inputs = np.random.default_rng(1).standard_normal((3, 3, 32, 32)).astype(np.float32)
    report = sq.compress(network, sq.METHODS[method](**values), inputs).report
    assert [row.name for row in report.layers] == [layer.name for layer in network.layers]
    assert all(np.isfinite([row.relative_error, row.propagated_error]).all() for row in report.layers)
    assert 0 < report.relative_output_error < np.inf and report.note == RANDOM


def test_a_saved_network_is_built_again_by_its_name_and_keeps_its_note(tmp_path):
    network = sq.NETWORKS["squeezenet1_1"](size=64).load()
    result = sq.compress(network, sq.METHODS["round-to-nearest"](), calibration=0)
    result.save(tmp_path / "small.sdq")
    loaded = sq.load(tmp_path / "small.sdq")
    assert loaded.note == RANDOM and loaded.name == "squeezenet1_1"
    images = network.example_input
    assert np.array_equal(loaded.outputs(images), result.network.outputs(images))


def attention(width, heads):
    """A step of attention whose projection's weight is used without calling it, and a layer nobody uses."""

    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = torch.nn.MultiheadAttention(width, heads, dropout=0.5, batch_first=True)
            self.head = torch.nn.Linear(width, 3)
            self.idle = torch.nn.Linear(2, 2)

        def forward(self, x):
            return self.head(self.mix(x, x, x, need_weights=False)[0].mean(1))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(8)
        return sq.Network(Attention(), torch.randn(4, 5, width))


def test_the_projection_of_attention_is_measured_as_a_sum_by_hand():
    width, heads = 6, 2
    network = attention(width, heads)
    weights = {layer.name: layer.weight for layer in network.layers}
    changed = weights["mix.out_proj"] + 0.1 * np.random.default_rng(2).standard_normal((width, width))
    found = measure(network, network.replaced({"mix.out_proj": changed}), network.layers, network.example_input)

    mix = network.module64.mix
    x = network.example_input.double().numpy()
    q, k, v = np.split(x @ mix.in_proj_weight.numpy().T + mix.in_proj_bias.numpy(), 3, axis=-1)
    z = np.empty_like(x)
    for start in range(0, width, width // heads):
        part = slice(start, start + width // heads)
        scores = np.exp(q[..., part] @ k[..., part].transpose(0, 2, 1) / np.sqrt(width // heads))
        z[..., part] = scores / scores.sum(-1, keepdims=True) @ v[..., part]
    whole = z @ weights["mix.out_proj"].T
    expected = np.linalg.norm(z @ (changed - weights["mix.out_proj"]).T) / np.linalg.norm(whole)
    assert found.layers["mix.out_proj"].same_input == pytest.approx(expected, rel=1e-12)
    assert found.layers["head"].same_input == 0 < found.layers["head"].propagated
    assert found.unused == ("idle",) and np.isnan(found.layers["idle"].same_input)


def test_a_layer_that_nothing_passes_through_is_said_in_the_note():
    report = sq.compress(attention(6, 2), sq.METHODS["round-to-nearest"]()).report
    assert report.note == "no error is measured where the forward pass takes no part: idle"
    assert [row.name for row in report.layers if np.isnan(row.relative_error)] == ["idle"]
    assert type(report).from_dict(report.to_dict()).note == report.note


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["resnet18", "vgg11_bn", "mobilenet_v2", "vit_b_32", "swin_t", "googlenet", "maxvit_t"]
)
def test_networks_of_each_kind_compress_and_every_error_is_a_number(name):
    network = sq.NETWORKS[name](size=None if name in ("maxvit_t",) else 64).load()
    report = sq.compress(network, sq.METHODS["round-to-nearest"](bits=8)).report
    assert len(report.layers) == len(network.layers) and report.note == RANDOM
    assert all(0 < row.relative_error < 1 for row in report.layers) and 0 < report.relative_output_error < 1
