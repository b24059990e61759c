"""A small BERT on a made task: half of its units go, whole heads among them, and what it learned stays."""

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq

pytestmark = pytest.mark.slow
SEQUENCE, WORDS, CLASSES = 12, 24, 4


def sentences(count, seed):
    """Return sentences and the class that the word after the one marker decides."""
    rng = np.random.default_rng(seed)
    words = rng.integers(4, WORDS, (count, SEQUENCE))
    places = rng.integers(1, SEQUENCE - 1, count)
    words[np.arange(count), places] = 1
    return words, words[np.arange(count), places + 1] % CLASSES


@pytest.fixture(scope="module")
def network():
    transformers = pytest.importorskip("transformers")
    train, test = sentences(6000, 0), sentences(1000, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.BertConfig(
            vocab_size=WORDS, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
            max_position_embeddings=SEQUENCE, num_labels=CLASSES, hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )  # fmt: skip
        module = transformers.BertForSequenceClassification(config)
        words, labels = torch.from_numpy(train[0]), torch.from_numpy(train[1])
        optimizer = torch.optim.Adam(module.parameters(), 2e-3)
        for step in range(900):
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * min(1.0, (900 - step) / 300)
            chosen = torch.randint(0, len(words), (64,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(words[chosen]).logits, labels[chosen]).backward()
            optimizer.step()
    data = sq.Dataset("marked words", *train, *test)
    return sq.Network(module, torch.from_numpy(test[0][:2]), data)


def test_half_of_the_units_go_with_heads_among_them(network):
    before = network.accuracy()
    assert before >= 0.97
    found = sq.groups(network)
    heads = {place for place in found.prunable if "attention.self.query" in found.groups[place].name}
    assert len(heads) == 2
    method = sq.METHODS["geta"](
        sparsity=0.5, batch=64, rate=2e-3, warm_up_steps=20, projection_steps=80, joint_steps=400, cool_down_steps=700,
        bits_low=6, bits_high=10, activation_bits_low=6,
    )  # fmt: skip
    result = sq.compress(network, method)
    attention = [result.network.module.bert.encoder.layer[place].attention.self for place in (0, 1)]
    assert min(part.num_attention_heads for part in attention) < 4
    assert all(part.query.out_features == 8 * part.num_attention_heads for part in attention)
    assert result.report.accuracy_after >= before - 0.01
    assert result.report.parameters < result.report.original_parameters
