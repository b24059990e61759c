"""A small BERT on a made task: half of its units go, half of its heads among them, and what it learned stays."""

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq

pytestmark = pytest.mark.slow
SEQUENCE, WORDS, CLASSES = 12, 24, 4


def sentences(count, seed):
    """Return sentences and their class: which of the marking words stands somewhere in one."""
    rng = np.random.default_rng(seed)
    words, labels = rng.integers(CLASSES, WORDS, (count, SEQUENCE)), rng.integers(0, CLASSES, count)
    words[np.arange(count), rng.integers(1, SEQUENCE, count)] = labels
    return words, labels


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
        for step in range(500):
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * min(1.0, (500 - step) / 200)
            chosen = torch.randint(0, len(words), (64,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(words[chosen]).logits, labels[chosen]).backward()
            optimizer.step()
    data = sq.Dataset("marked words", *train, *test)
    return sq.Network(module, torch.from_numpy(test[0][:2]), data)


def test_half_of_the_units_and_of_the_heads_go_and_the_accuracy_stays(network):
    before = network.accuracy()
    assert before >= 0.97
    found = sq.groups(network)
    heads = {place for place in found.prunable if "attention.self.query" in found.groups[place].name}
    assert len(heads) == 2 and {found.groups[place].units for place in heads} == {4}  # one unit a head
    method = sq.METHODS["geta"](
        sparsity=0.5, scope="group", batch=64, rate=2e-3, warm_up_steps=20, projection_steps=80, joint_steps=300,
        cool_down_steps=500, bits_low=6, bits_high=10, activation_bits_low=6,
    )  # fmt: skip
    result = sq.compress(network, method)
    assert result.report.accuracy_after >= before - 0.01
    bert = result.network.module.bert
    assert bert.embeddings.word_embeddings.weight.shape == (WORDS, 16)
    for layer in bert.encoder.layer:
        attention = layer.attention.self
        assert attention.query.weight.shape == attention.value.weight.shape == (16, 16)
        assert (attention.num_attention_heads, attention.all_head_size, attention.attention_head_size) == (2, 16, 8)
        assert layer.intermediate.dense.weight.shape == (32, 16)
    assert result.report.parameters < 0.3 * result.report.original_parameters
