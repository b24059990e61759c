"""Recording a network's operations: what comes out, and that nobody else notices."""

import dataclasses
import threading

import pytest
import torch
from torch import nn

from sdqviz.error import InputError
from sdqviz.networks.network import Network
from sdqviz.pruning import removal, tracing
from sdqviz.pruning.dependency import groups


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def dense(width):
    return nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 3))


def test_whole_operations_are_recorded_with_the_modules_that_carry_them_out():
    found = tracing.trace(tracing.shadow(nn.Sequential(dense(4), nn.Softmax(-1))), random(2, 8))
    operations = [(str(node.target), node.meta["path"]) for node in found.graph.nodes if node.op == "call_function"]
    assert operations == [
        ("aten.linear.default", "0.0"), ("aten.relu.default", "0.1"), ("aten.linear.default", "0.2"),
        ("aten.softmax.int", "1"),
    ]  # fmt: skip
    assert len(found.held) == 4 and not found.constants


# -- outputs of any kind ------------------------------------------------------------------------------


class Cache:
    """What a network keeps for its next call."""

    def __init__(self, keys):
        self.keys = keys


@dataclasses.dataclass
class Told:
    scores: torch.Tensor
    cache: Cache
    note: str = "said"


class Answer:
    def __init__(self, scores):
        self.scores = scores


class Returning(nn.Module):
    def __init__(self, made):
        super().__init__()
        self.first, self.second, self.made = nn.Linear(8, 6), nn.Linear(6, 3), made

    def forward(self, x):
        hidden = torch.relu(self.first(x))
        return self.made(hidden, self.second(hidden))


@pytest.mark.parametrize(
    "made",
    [
        lambda hidden, scores: Told(scores, Cache(hidden)),
        lambda hidden, scores: {"logits": scores, "past": Cache(hidden), "tokens": torch.ones(2, dtype=torch.long)},
        lambda hidden, scores: (scores, None, Cache(hidden)),
        lambda hidden, scores: Answer(scores),
    ],
    ids=["dataclass", "mapping", "tuple", "object"],
)
def test_what_is_returned_may_be_of_any_kind(made, draw_parameters):
    module = draw_parameters(Returning(made))
    found = groups(module, random(2, 8))
    assert [(group.name, group.units, group.prunable) for group in found.groups] == [
        ("first", 6, True), ("second", 3, False)
    ]  # fmt: skip
    smaller = removal.remove(module, found.recipe({0: [1, 4]}))
    (got,), (wanted,) = (
        tracing.tensors(part(random(5, 8, seed=1))) for part in (smaller, found.masked(module, {0: [1, 4]}))
    )
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0)


def test_channels_that_are_returned_stay():
    found = groups(Returning(lambda hidden, scores: (scores, hidden)), random(2, 8))
    assert [group.prunable for group in found.groups] == [False, False]


# -- what a forward does to others ----------------------------------------------------------------------


class Careless(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense, self.seen = nn.Linear(8, 4), 0

    def forward(self, x):
        self.seen += 1
        x.mul_(2)
        return self.dense(x) + torch.rand(4)


def test_the_example_the_module_and_the_random_generator_stay_as_they_were():
    module, example, state = Careless(), random(2, 8), torch.get_rng_state()
    with pytest.raises(InputError, match="must have channels that can be removed"):
        groups(module, example).require_prunable()
    assert torch.equal(example, random(2, 8)) and torch.equal(torch.get_rng_state(), state)
    assert module.seen == 0 and not module._forward_hooks and not module._forward_pre_hooks


def test_branches_on_masks_follow_the_example_and_those_on_numbers_are_refused():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(8, 4), nn.Linear(4, 2)

        def forward(self, x, mask):
            y = self.first(x)
            return self.second(y if mask.all() else y * mask[:, None])

    found = groups(Masked(), {"x": random(2, 8), "mask": torch.ones(2, dtype=torch.bool)})
    assert [group.prunable for group in found.groups] == [True, False]
    with pytest.raises(InputError, match=r"`return self.second\(y if mask.all\(\).*which depends on the value"):
        groups(Masked(), {"x": random(2, 8), "mask": torch.ones(2)})


def disturbed(rounds):
    """Trace networks in four threads while two others use theirs; return what went wrong."""
    wrong, done = [], threading.Event()

    def traces(number):
        try:
            for _ in range(rounds):
                assert [group.units for group in groups(dense(4 + number), random(2, 8)).groups] == [4 + number, 3]
        except Exception as error:  # whatever another thread did to this one
            wrong.append(repr(error))

    def uses():
        module, x = (
            nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), dense(5)).eval(),
            random(2, 3, 8),
        )
        with torch.no_grad():
            wanted = module(x)
        try:
            while not done.is_set():
                module.zero_grad()
                found = module(x)
                found.sum().backward()
                torch.testing.assert_close(found.detach(), wanted)
                assert module[1][0].weight.grad is not None and found.requires_grad
        except Exception as error:
            wrong.append(repr(error))

    tracing_threads = [threading.Thread(target=traces, args=(number,)) for number in range(4)]
    others = [threading.Thread(target=uses) for _ in range(2)]
    for thread in [*tracing_threads, *others]:
        thread.start()
    for thread in tracing_threads:
        thread.join()
    done.set()
    for thread in others:
        thread.join()
    return wrong


def test_threads_with_networks_of_their_own_do_not_disturb_each_other():
    assert disturbed(15) == []


@pytest.mark.slow
def test_many_threads_many_times():
    assert disturbed(200) == []


class Picking(nn.Module):
    """Picks some entries of what a layer gives, for another layer."""

    def __init__(self, pick, width):
        super().__init__()
        self.pick, self.a, self.out = pick, nn.Linear(8, 6), nn.Linear(width, 3)

    def forward(self, x):
        return self.out(self.pick(torch.relu(self.a(x)), x))


@pytest.mark.parametrize(
    ("pick", "width", "found"),
    [
        (lambda y, _: y[:, [0, 2]], 6, 6),
        (lambda y, x: y[torch.arange(len(y)), x[..., 0].argmax(1)], 6, 6),
        (lambda y, x: y[x[:, 0, 0].topk(2)[1]], 6, 6),
        (lambda y, _: y[torch.tensor([[0, 1], [1, 2]]), torch.tensor([[2, 1], [0, 0]])], 6, 6),
        (lambda y, _: y[..., [5, 0, 2, 2]], 4, "takes entries by computed positions"),
        (lambda y, _: y.transpose(1, 2)[[0, 1], :, [3, 2]], 6, "takes entries by computed positions"),
    ],
    ids=["tokens", "the largest token", "some inputs", "a table", "channels", "apart"],
)
def test_entries_picked_by_their_places_leave_the_channels_to_be_pruned(pick, width, found):
    torch.manual_seed(0)
    module, x = Picking(pick, width), torch.randn(4, 4, 8)
    graph = groups(module, x)
    first = next(group for group in graph.groups if group.name == "a")
    if isinstance(found, str):
        assert not graph.prunable and found in first.because
        return
    assert (first.units, first.because) == (found, "")
    removed = {place: [1, 4] for place in graph.prunable}
    with torch.no_grad():
        torch.testing.assert_close(
            graph.cut(module, removed)(x), graph.masked(module, removed)(x), rtol=1e-5, atol=1e-6
        )


def test_entries_picked_by_a_mask_of_values_are_told():
    with pytest.raises(InputError, match="shapes do not depend on their values, got the result of index"):
        groups(Picking(lambda y, x: y[x[..., 0] > 0], 6), torch.randn(4, 4, 8))


class Noisy(nn.Sequential):
    """Adds random numbers to its inputs."""

    def forward(self, x):
        return super().forward(x + torch.randn_like(x))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_random_numbers_and_short_floats_do_not_keep_channels(kind):
    torch.manual_seed(0)
    module = Noisy(nn.Linear(8, 96), nn.ReLU(), nn.Linear(96, 3))
    assert [groups(module, random(4, 8)).groups[place].units for place in groups(module, random(4, 8)).prunable] == [96]
    network = Network(module.to(kind), random(4, 8))
    assert [groups(network).groups[place].units for place in groups(network).prunable] == [96]
