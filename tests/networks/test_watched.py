"""Batches that are cut by what a recorder keeps of them."""

import torch
from torch import nn

import sdqviz as sq
from sdqviz.networks.watched import watched_batches


def test_batches_hold_what_may_be_kept_of_them():
    network = sq.Network(
        nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 32), nn.Linear(32, 2)), torch.zeros(1, 6).long()
    )
    texts = torch.arange(60).remainder(10).reshape(10, 6)
    each = 6 * (8 + 32) * 4  # bytes that enter the layers, of one text
    for kept, sizes in ((3 * each, [3, 3, 3, 1]), (3 * each - 1, [2] * 5), (1, [1] * 10), (10 * each, [10])):
        cut = list(watched_batches(network, network.layer_names, texts, kept))
        assert [len(batch) for batch in cut] == sizes
        assert torch.equal(torch.cat(cut), texts)
    assert len(list(watched_batches(network, ["1"], texts, 10 * 6 * 8 * 4))) == 1  # of the layers that are watched
