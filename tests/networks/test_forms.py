"""Networks of every form: what they take, what they give, and what they are refused for."""

import dataclasses
import io
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import sdqviz as sq

X = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))
ROUND, GPTQ = sq.METHODS["round-to-nearest"](bits=8), sq.METHODS["gptq"](bits=4)
FRAME = sq.METHODS["frame"](bits=1, redundancy=4, step_rule="range-column")


class Two(nn.Module):
    """Two layers; the rest is in what a test overrides."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.a, self.b = nn.Linear(8, 6), nn.Linear(6, 4)

    def forward(self, x):
        return self.b(torch.relu(self.a(x)))


# -- the module ------------------------------------------------------------------------------------------------


def script():
    return torch.jit.script(nn.Linear(3, 3))


@pytest.mark.filterwarnings("ignore:`torch.jit", "ignore:Lazy modules", "ignore:Initializing zero-element")
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nn.LazyLinear(3), "got weight of a lazy layer"),
        (lambda: nn.Sequential(nn.LazyLinear(3)), r"got 0\.weight of a lazy layer"),
        (lambda: nn.Linear(3, 0), r"no weight without entries, got weight of shape \(0, 3\)"),
        (script, "got a ScriptModule"),
        (lambda: nn.Sequential(script()), "got the ScriptModule 0"),
        (lambda: nn.Linear(3, 3, dtype=torch.complex64), r"got weight of torch\.complex64"),
        (lambda: 3, "must be a torch.nn.Module, got int"),
    ],
)
def test_what_cannot_be_wrapped_is_refused_in_a_sentence(build, message):
    with pytest.raises(sq.InputError, match=message) as refusal:
        sq.Network(build(), torch.zeros(2, 3))
    assert "\n" not in str(refusal.value)


def test_whole_numbers_as_weights_are_refused_by_their_type():
    module = nn.Linear(3, 3)
    module.weight = nn.Parameter(torch.ones(3, 3, dtype=torch.int8), requires_grad=False)
    with pytest.raises(sq.InputError, match=r"got weight of torch\.int8"):
        sq.Network(module, torch.zeros(2, 3))


def test_old_files_of_torch_save_are_read():
    network = sq.Network(Two(), X)
    for source in (network.module.state_dict(), {"state_dict": network.module.state_dict()}):
        for new in (True, False):
            box = io.BytesIO()
            torch.save(source, box, _use_new_zipfile_serialization=new)
            other = Two()
            nn.init.zeros_(other.a.weight)
            found = sq.Network(other, X).with_state(box.getvalue())
            assert torch.equal(found.module.a.weight, network.module.a.weight)
            assert found.note == "weights of the file" and not np.allclose(other.a.weight.detach(), 1)
    from safetensors.torch import save

    assert torch.equal(sq.Network(Two(), X).with_state(save(Two().state_dict())).module.a.weight, Two().a.weight)
    with pytest.raises(sq.InputError, match=r"must fit custom, got no b\.weight"):
        sq.Network(Two(), X).with_state(save({k: v for k, v in Two().state_dict().items() if k != "b.weight"}))


# -- what passes through -----------------------------------------------------------------------------------------


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.a = nn.Linear(8, 4)

    def forward(self, x, places):
        return self.a(x + places.mean(0))


def test_several_inputs_whose_first_axes_differ():
    example = (X[:4], torch.randn(3, 8))
    report = sq.compress(sq.Network(Pair(), example), GPTQ).report
    assert report.layers[0].relative_error > 0 and report.output_error > 0
    given = {"x": X, "places": torch.randn(5, 8)}
    assert sq.compress(sq.Network(Pair(), given), ROUND, calibration=given).report.relative_output_error > 0


def test_loaders_of_every_kind_give_what_one_tensor_gives():
    network = sq.Network(Two(), X[:2])
    expected = sq.compress(network, GPTQ, calibration=X).report.relative_output_error
    labels = torch.zeros(12, dtype=torch.int64)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, labels), batch_size=5)
    grads = X.clone().requires_grad_()
    mappings = [{"x": X[:7], "labels": labels[:7]}, {"x": X[7:], "labels": labels[7:]}]
    for given in (loader, [X[:7], X[7:]], iter([X]), grads, [grads], X.numpy().astype(">f4"), {"x": X}, mappings, (X,)):
        found = sq.compress(network, GPTQ, calibration=given).report
        assert found.relative_output_error == pytest.approx(expected, rel=1e-6)


def test_batches_of_lengths_of_their_own_stay_apart():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(1)
            self.embed, self.a = nn.Embedding(9, 8), nn.Linear(8, 4)

        def forward(self, ids, mask=None):
            return self.a(self.embed(ids).mean(1))

    ids = torch.randint(0, 9, (6, 5))
    network = sq.Network(Tokens(), {"ids": ids})
    for method in (ROUND, GPTQ):
        report = sq.compress(network, method, calibration=[{"ids": ids}, {"ids": ids[:2, :3]}]).report
        assert report.inputs == 8 and report.relative_output_error > 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([X, X[:, :4]], "must be accepted by the network"), ("mnist", "got str"), (3.5, "got float"),
        ([], "at least one"),
        ([1.0, 2.0], "arrays or tensors, got float"), (-1, "at least 0"), (np.int64(2), "the inputs themselves"),
        (X[:0], "at least one sample"), (X[:, 0] * float("inf"), "finite"), (np.array(["a"]), "real numbers"),
        ([X, X + float("nan")], "finite"), (X.numpy().astype(object), "real numbers"),
    ],
)  # fmt: skip
def test_what_is_no_calibration_is_refused(given, message):
    network = sq.Network(Two(), X[:2])
    for method in (ROUND, GPTQ, FRAME):
        with pytest.raises(sq.InputError, match=message) as refusal:
            sq.compress(network, method, calibration=given)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("seed", [-1, 1.5, None, 2**63, True, "0"])
def test_seeds_are_checked(seed):
    with pytest.raises(sq.InputError, match="seed must be a whole number"):
        sq.compress(sq.Network(Two(), X), ROUND, seed=seed)


def test_seeds_of_numpy_are_seeds():
    assert sq.compress(sq.Network(Two(), X), ROUND, seed=np.int64(3)).report.seed == 3


# -- what comes out -----------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Output:
    loss: torch.Tensor
    logits: torch.Tensor
    cache: object


@pytest.mark.parametrize(
    ("wrap", "output"),
    [
        (lambda y: Output(y.mean(), y, object()), None),
        (lambda y: {"cache": [None, "text"], "deep": ({"y": y},)}, None),
        (lambda y: (torch.arange(3), y), None),
        (lambda y: {"aux": y[:, :1], "main": [y]}, "main.0"),
    ],
)
def test_outputs_of_every_kind(wrap, output):
    class N(Two):
        def forward(self, x):
            return wrap(super().forward(x))

    network = sq.Network(N(), X, output=output)
    assert network.outputs(X).shape == (12, 4)
    report = sq.compress(network, GPTQ).report
    plain = sq.compress(sq.Network(Two(), X), GPTQ).report
    assert report.relative_output_error == pytest.approx(plain.relative_output_error, rel=1e-6)


def test_an_output_that_is_not_there_is_named():
    with pytest.raises(sq.InputError, match="output must name what the module returns"):
        sq.Network(Two(), X, output="logits")


# -- precision and randomness ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_sizes_and_errors_are_those_of_the_modules_own_numbers(dtype, tmp_path):
    module = Two().to(dtype)
    x = X.to(dtype)
    network = sq.Network(module, x)
    for method in (ROUND, FRAME):
        result = sq.compress(network, method)
        count = sum(parameter.numel() for parameter in module.parameters())
        assert result.report.original_bytes == count * torch.empty(0, dtype=dtype).element_size()
        after = result.network.module.a.weight.double()
        right = torch.norm(x.double() @ (module.a.weight.double() - after).T)
        right = (right / torch.norm(x.double() @ module.a.weight.double().T)).item()
        assert result.report.layers[0].relative_error == pytest.approx(right, rel=1e-9)
        result.save(tmp_path / "x.sdq")
        loaded = sq.load(tmp_path / "x.sdq", network)
        assert torch.equal(loaded.forward(x), result.network.forward(x))
        error = np.abs(np.linalg.svd((module.a.weight.double() - after).detach().numpy(), compute_uv=False)).max()
        row = result.report.layers[0]
        assert row.error == pytest.approx(error, rel=1e-9)
        assert not row.bound_holds or row.error <= row.bound
        assert not result.report.output_bound_holds or result.report.output_error <= result.report.output_bound


def test_a_forward_that_insists_on_its_precision_is_measured_in_it():
    class Single(Two):
        def forward(self, x):
            return super().forward(x.float())

    plain = sq.compress(sq.Network(Two(), X), GPTQ).report
    for method in (ROUND, GPTQ, FRAME):
        report = sq.compress(sq.Network(Single(), X), method).report
        assert "own precision" in report.note and report.relative_output_error > 0
    found = sq.compress(sq.Network(Single(), X), GPTQ).report
    assert found.relative_output_error == pytest.approx(plain.relative_output_error, rel=1e-4)


def test_randomness_in_the_forward_is_no_error_and_nobody_elses():
    class Noisy(Two):
        def forward(self, x):
            return functional.dropout(super().forward(x), 0.5, training=True)

    module = Noisy()
    torch.manual_seed(7)
    expected = torch.rand(4)
    torch.manual_seed(7)
    network = sq.Network(module, X)
    fine = sq.METHODS["round-to-nearest"](bits=16)
    reports = [sq.compress(network, fine, calibration=X).report for _ in range(2)]
    assert torch.equal(torch.rand(4), expected), "the generator that everybody shares was used"
    assert reports[0].relative_output_error == reports[1].relative_output_error < 1e-3
    assert "draws random numbers" in reports[0].note
    assert not sq.Network(Two(), X).passes.random


@pytest.mark.parametrize("draw", [np.random.random, random.random], ids=["numpy", "python"])
def test_randomness_of_numpy_and_python_is_no_error_and_nobody_elses(draw):
    class Noisy(Two):
        def forward(self, x):
            return super().forward(x) * (0.5 + draw())

    np.random.seed(7)  # noqa: NPY002 - the generator that the module uses
    random.seed(7)
    expected = draw()
    np.random.seed(7)  # noqa: NPY002
    random.seed(7)
    network = sq.Network(Noisy(), X)
    report = sq.compress(network, sq.METHODS["round-to-nearest"](bits=16), calibration=X).report
    assert draw() == expected, "the generator that everybody shares was moved"
    assert report.relative_output_error < 1e-3 and "draws random numbers" in report.note


def test_outputs_that_are_not_finite_are_told():
    class Broken(Two):
        def forward(self, x):
            return super().forward(x) / (x[:, :1] > 0)

    report = sq.compress(sq.Network(Broken(), X), ROUND).report
    count = int((X[:, 0] <= 0).sum())
    assert f"{count} of 12 outputs are NaN or infinite" in report.note
    labels = np.arange(12) % 4
    data = sq.Dataset("d", X.numpy(), labels, X.numpy(), labels)
    tested = sq.compress(sq.Network(Broken(), X, data), ROUND).report
    assert f"original network's test outputs are NaN or infinite for {count}" in tested.note
    assert tested.accuracy_before <= 1 - count / 12


def test_accuracy_needs_an_output_for_every_class_and_says_so_before_the_work():
    labels = np.arange(12) % 5
    data = sq.Dataset("d", X.numpy(), labels, X.numpy(), labels)
    network = sq.Network(Two(), X, data)
    with pytest.raises(sq.InputError, match=r"with 5 classes or more, got \(12, 4\)"):
        network.accuracy()
    with pytest.raises(sq.InputError, match="with 5 classes or more"):
        sq.compress(network, ROUND)
    with pytest.raises(sq.InputError, match="labels must be below the 4 outputs of custom, got 4"):
        sq.Network(Two(), X).with_data(data)


# -- layers that only look plain -----------------------------------------------------------------------------------


class Scaled(nn.Linear):
    def forward(self, input):
        return functional.linear(input, 3 * self.weight, self.bias)


class Renamed(nn.Linear):
    """Another class that does what a Linear does."""


class Padded(nn.Conv2d):
    def forward(self, input):
        return super().forward(functional.pad(input, (1, 1, 1, 1), value=2.0))


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def doubled(layer):
    nn.utils.parametrize.register_parametrization(layer, "weight", Doubled())
    return layer


def hooked(change):
    module = nn.Linear(8, 8)
    change(module)
    return module


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (Scaled(8, 8), "a Scaled, which gives something else"),
        (hooked(lambda m: m.register_forward_hook(lambda *a: a[2] + 1)), "a hook or a forward of its own"),
        (hooked(lambda m: setattr(m, "forward", lambda input: input)), "a hook or a forward of its own"),
        (doubled(nn.Linear(8, 8)), "its weight is computed from other parameters"),
    ],
)
def test_layers_that_do_something_else_are_left_alone_by_name(part, why):
    network = sq.Network(nn.Sequential(part, nn.ReLU(), nn.Linear(8, 3)), X)
    for method in (ROUND, GPTQ, FRAME):
        result = sq.compress(network, method)
        assert [row.name for row in result.report.layers] == ["2"]
        assert any(text.startswith("0") and why in text for text in result.report.left_alone), result.report.left_alone
        assert not result.report.output_bound_holds


def test_a_convolution_that_pads_on_its_own_is_left_alone():
    module = nn.Sequential(Padded(1, 2, 3), nn.Flatten(), nn.Linear(128, 3))
    found = sq.compress(sq.Network(module, torch.randn(4, 1, 8, 8)), ROUND).report
    assert [row.name for row in found.layers] == ["2"] and "a Padded" in " ".join(found.left_alone)


def test_other_classes_and_hooks_that_change_nothing_are_plain():
    looked = []
    part = hooked(lambda m: m.register_forward_hook(lambda *a: looked.append(1)))
    network = sq.Network(nn.Sequential(part, nn.ReLU(), Renamed(8, 3)), X)
    assert [layer.name for layer in network.layers] == ["0", "2"]
    with pytest.raises(sq.InputError, match="got 0 is a Scaled"):
        _ = sq.Network(nn.Sequential(Scaled(8, 8)), X).layers


# -- experts ------------------------------------------------------------------------------------------------------


class Experts(nn.Module):
    def __init__(self, ask=False):
        super().__init__()
        torch.manual_seed(2)
        self.router, self.ask = nn.Linear(8, 4), ask
        self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))
        self.router.bias.data[3] = -100.0  # nobody chooses the last one

    def forward(self, x):
        chosen, y = self.router(x).argmax(1), torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            if not self.ask or (chosen == number).any():
                y[chosen == number] = expert(x[chosen == number])
        return y


@pytest.mark.parametrize("ask", [False, True])
def test_routed_experts_are_compared_on_the_same_rows_alone(ask):
    x = torch.randn(300, 8, generator=torch.Generator().manual_seed(3))
    network = sq.Network(Experts(ask), x)
    for method in (sq.METHODS["round-to-nearest"](bits=3), sq.METHODS["gptq"](bits=3), FRAME):
        report = sq.compress(network, method, calibration=x).report
        rows = {row.name: row for row in report.layers}
        assert 0 < rows["experts.0"].relative_error < 1 and np.isnan(rows["experts.0"].propagated_error)
        assert rows["router"].propagated_error > 0
        assert "no propagated error is stated" in report.note and report.output_error > 0
        if method.name == "gptq":
            assert "experts.3" not in rows and any(t.startswith("experts.3") for t in report.left_alone)
