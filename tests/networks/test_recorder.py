"""What is recorded of a layer is what entered and left it, whatever its network does, and nobody notices."""

import hashlib
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sdqviz.error import InputError
from sdqviz.networks.batch import arguments, batches, first, together
from sdqviz.networks.forward import Forward, main_tensor, own_random_numbers
from sdqviz.networks.recorder import Recorder
from sdqviz.networks.tracing import trace

X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))


class Twice(nn.Module):
    """Uses one layer by position, by keyword, and through its weight alone; overwrites what entered and left it."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        x.mul_(2)
        y = self.layer(x)
        x.zero_()
        z = self.layer(input=y)
        z.add_(1)
        return functional.linear(z, self.layer.weight)


def passed(module, inputs):
    return lambda watched: Forward()(watched, inputs)


def test_every_use_of_a_layer_is_kept_as_it_was():
    torch.manual_seed(0)
    module, x = Twice(), X.clone()
    recording = Recorder(module, ["layer"]).run(passed(module, x))
    with torch.no_grad():
        y = module.layer(2 * x)
        z = module.layer(y)
        entered = (2 * x, y, z + 1)
        left = (y, z, (z + 1) @ module.layer.weight.T)
    calls = recording.of("layer")
    assert [call.called for call in calls] == [True, True, False]
    for call, before, after in zip(calls, entered, left, strict=True):
        torch.testing.assert_close(call.entered, before)
        torch.testing.assert_close(call.left, after)
    assert torch.equal(x, X), "the input was overwritten"
    assert not module.layer._forward_hooks and not module.layer._forward_pre_hooks
    torch.testing.assert_close(Recorder(module, ["layer"]).reach(passed(module, x), "layer"), 2 * x)


def test_layers_are_in_the_order_of_the_data_and_unused_ones_are_missing():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.b, self.a, self.unused = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.b(self.a(x))

    module = Backwards()
    recorder = Recorder(module, ["b", "a", "unused"], outputs=False)
    assert list(recorder.run(passed(module, X)).calls) == ["a", "b"]
    with pytest.raises(InputError, match="'unused' must be reached"):
        recorder.reach(passed(module, X), "unused")
    assert list(recorder.run(passed(module, X)).calls) == ["a", "b"]  # a refusal leaves nothing behind


@pytest.mark.parametrize("norm_first", [False, True])
def test_the_steps_of_an_encoder_layer_are_seen(norm_first):
    torch.manual_seed(0)
    module = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, norm_first=norm_first).eval()
    names = ["self_attn.out_proj", "linear1", "linear2"]
    x = torch.randn(3, 5, 8)
    recording = Recorder(module, names).run(passed(module, x))
    assert list(recording.calls) == names
    with torch.no_grad():
        torch.testing.assert_close(recording.output, module(x), rtol=1e-4, atol=1e-5)
    for name in names:
        (call,) = recording.of(name)
        part = module.get_submodule(name)
        assert call.left is not None
        expected = functional.linear(call.entered, part.weight, part.bias)
        torch.testing.assert_close(call.left.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)


def test_a_layer_given_no_tensor_is_refused():
    class Odd(nn.Linear):
        def forward(self, input):
            return super().forward(X)

    module = nn.Sequential(Odd(4, 4))
    with pytest.raises(InputError, match="layer '0' must be given a tensor"):
        Recorder(module, ["0"]).run(lambda watched: watched[0]("text"))


# -- batches ---------------------------------------------------------------------------------------------------


def digest(values):
    plain = values if isinstance(values, np.ndarray) else values.detach().double().numpy()
    return hashlib.sha256(plain.tobytes()).hexdigest()


@pytest.mark.parametrize(
    "inputs",
    [X, X.numpy(), X.clone().requires_grad_(), X.bfloat16(), X.double(), X.numpy().astype(">f4")],
    ids=["tensor", "array", "gradient", "bfloat16", "double", "big-endian"],
)
def test_a_pass_gets_a_copy_in_the_modules_precision(inputs):
    before = digest(inputs)
    (ready,), named = arguments(nn.Linear(4, 2), inputs)
    assert ready.dtype is torch.float32 and not ready.requires_grad and named == {}
    torch.testing.assert_close(ready, X, rtol=2**-8 if inputs.dtype == torch.bfloat16 else 0, atol=0)
    ready.zero_()
    assert digest(inputs) == before


def test_batches_cut_what_shares_its_first_axis_and_go_together_again():
    given = {"x": torch.arange(14).reshape(7, 2), "y": np.arange(7)}
    cut = list(batches(given, 3))
    assert [len(batch["x"]) for batch in cut] == [3, 3, 1]
    whole = together(cut)
    assert torch.equal(whole["x"], given["x"]) and np.array_equal(whole["y"], given["y"])
    pair = (torch.zeros(6, 2), torch.zeros(4, 3))  # nothing says along which axis
    assert [batch is pair for batch in batches(pair, 2)] == [True]
    assert [len(batch) for batch in batches([X, X[:3]], 2)] == [2, 2, 1, 2, 1]
    assert len(first(X, 2)) == 2 and first(pair, 2) is pair
    ragged = [X, X[:, :3]]
    assert together(ragged) == ragged
    with pytest.raises(InputError, match="at least one sample"):
        list(batches(X[:0]))
    with pytest.raises(InputError, match="at least one batch"):
        list(batches([]))


# -- outputs ---------------------------------------------------------------------------------------------------


class Holder:
    def __init__(self, **entries):
        self.__dict__.update(entries)


@pytest.mark.parametrize(
    ("result", "path"),
    [
        (X, None), ((torch.arange(3), X), None), ({"loss": X[0], "logits": X}, None), ([None, {"a": ["b", X]}], None),
        (Holder(cache=object(), logits=X), None), (Holder(hidden=(X[:1], X)), "hidden.1"), ({"a": X[:1], "b": X}, "b"),
        ((X[:1], [X]), "1.0"),
    ],
)  # fmt: skip
def test_the_output_is_found_or_named(result, path):
    assert main_tensor(result, path) is X


def test_an_output_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="module must return a tensor"):
        main_tensor({"a": "text"})
    with pytest.raises(InputError, match=r"output must name what the module returns \(a\), got 'b'"):
        main_tensor({"a": X}, "b")
    loop = Holder()
    loop.itself = loop
    with pytest.raises(InputError, match="module must return a tensor"):
        main_tensor(loop)


# -- random numbers and threads ----------------------------------------------------------------------------------


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return functional.dropout(self.layer(x), 0.5, training=True) + torch.randn(4)


def test_passes_draw_the_same_numbers_and_nobody_elses():
    module = Noisy()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, two = (Forward(random=True)(module, X) for _ in range(2))
    assert torch.equal(one, two)
    assert torch.equal(torch.rand(3), expected)
    with own_random_numbers() as numbers:
        nn.Linear(4, 4)(X)
        linear_drew = numbers.drawn  # its initial weights are drawn
        numbers.drawn = False
        module.layer(X)
    assert linear_drew and not numbers.drawn


def test_a_trace_follows_wrapped_functions_parameters_and_math():
    class Following(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.scale = nn.Parameter(torch.ones(4))
            self.plain = torch.full((4,), 3.0)

        def forward(self, x, shift=None):
            return self.layer(x) * self.scale.exp() + self.plain + torch.ones(4)

    module = Following()
    found = trace(module, ["layer"])
    assert found is not None
    operations = [(node.op, str(node.target)) for node in found.graph.nodes]
    assert ("call_module", "layer") in operations and ("get_attr", "scale") in operations
    assert ("get_attr", "plain") in operations and len(found.constants) == 1
    assert type(module) is Following and type(module.layer) is nn.Linear


def test_a_trace_does_not_hide_what_depends_on_the_data():
    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    assert trace(Branching(), []) is None


def test_tracing_and_recording_disturb_no_other_thread():
    torch.manual_seed(0)
    module = nn.Sequential(*[part for _ in range(20) for part in (nn.Linear(4, 4), nn.ReLU())]).eval()
    with torch.no_grad():
        expected = module(X)
    found, stop = [], threading.Event()

    def plain():
        while not stop.is_set():
            with torch.no_grad():
                if not torch.equal(module(X), expected):
                    found.append("another output")

    def watch():
        try:
            for _ in range(15):
                assert trace(module, ["0", "2"]) is not None
                assert len(Recorder(module, ["0", "2"]).run(passed(module, X)).calls) == 2
        except Exception as error:
            found.append(repr(error))

    threads = [threading.Thread(target=plain), *(threading.Thread(target=watch) for _ in range(3))]
    for thread in threads:
        thread.start()
    for thread in threads[1:]:
        thread.join()
    stop.set()
    threads[0].join()
    assert not found, found[:3]
