"""One compression spread over a cluster: levels as on one machine, and none lost with a worker."""

import signal
import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.error import InputError
from sdqviz.experiments import sweep
from sdqviz.experiments.cluster import Cluster
from sdqviz.methods.calibrated.spread import Shared, divided

INPUTS = torch.randn(48, 2, 6, 6, generator=torch.Generator().manual_seed(1))


class InPlace:
    """Does the blocks here, one after the other, with copies as another process would get them."""

    blocks = 5

    def map(self, shared, parts):
        return [work(shared.with_own(shared.without(group))) for group, work in parts]


@pytest.fixture
def network():
    torch.manual_seed(0)
    parts = [nn.Conv2d(2, 40, 3), nn.ReLU(), nn.Flatten(), nn.Linear(40 * 16, 70), nn.ReLU(), nn.Linear(70, 50)]
    return sq.Network(nn.Sequential(*parts), INPUTS[:1])


def same(one, other):
    for mine, theirs in zip(one.layers, other.layers, strict=True):
        assert np.array_equal(mine.weight, theirs.weight) and mine.parameters == theirs.parameters
        for key, packed in theirs.stored.items():
            assert np.array_equal(mine.stored[key].to_bytes(), packed.to_bytes())
    return len(other.layers)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("gptq", {"bits": 3}), ("spfq", {"bits": 4}), ("gpfq", {"bits": 4, "fit": "max", "biases": "quantized"})],
)
def test_blocks_of_neurons_give_the_levels_of_the_whole(network, name, settings):
    method = sq.METHODS.from_dict({"name": name, **settings})
    assert same(sq.compress(network, method, INPUTS, spread=InPlace()), sq.compress(network, method, INPUTS)) == 3


def test_neurons_are_divided_into_whole_tiles():
    for count in (1, 16, 17, 100, 512):
        for blocks in (1, 2, 5, 40):
            slices = divided(count, blocks)
            assert [one for part in slices for one in range(count)[part]] == list(range(count))
            assert all((part.stop - part.start) % 16 == 0 for part in slices[:-1]) and len(slices) <= blocks + 1
    assert Shared(np.ones((2, 2)), np.ones((2, 2)), None).cross is None


@pytest.mark.slow
def test_a_cluster_gives_the_same_levels_when_a_worker_is_killed(network, cluster):
    cluster.add_worker()
    cluster.add_worker()
    method = sq.METHODS["gptq"](bits=3)
    expected = sq.compress(network, method, INPUTS)
    distributed = pytest.importorskip("distributed")
    with distributed.Client(cluster.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    with Cluster(cluster.address) as spread:
        assert spread.blocks >= 4

        def kill():
            while not spread.received:
                time.sleep(0.01)
            cluster.workers[0].send_signal(signal.SIGKILL)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        found = sq.compress(network, method, INPUTS, spread=spread)
        killer.join()
    assert cluster.workers[0].wait(5) == -signal.SIGKILL and same(found, expected) == 3
    assert spread.broadcast > 0 and spread.sent > 0 and spread.received > 0
    print(f"\n{spread}")
    assert "MiB broadcast" in str(spread)


def test_a_method_without_walks_and_a_scheduler_that_is_not_there_are_refused(network, monkeypatch):
    monkeypatch.setattr("sdqviz.experiments.sweep.CONNECT", 0.5)
    with pytest.raises(InputError, match=r"dask must be the address of a running scheduler, got 'tcp://127.0.0.1:9'"):
        Cluster("tcp://127.0.0.1:9")
    with pytest.raises(InputError, match="method must walk over a layer's inputs to be spread, got round-to-nearest"):
        sq.compress(network, sq.METHODS["round-to-nearest"](), INPUTS, spread=InPlace())
    assert sweep.CONNECT
