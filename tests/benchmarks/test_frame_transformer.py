"""A small trained transformer with outlier channels: how like the float network's embeddings stay (``-m slow -s``)."""

import numpy as np
import pytest
import torch
from torch import nn

import sdqviz as sq
from sdqviz.networks.blocks.vision_transformer import TransformerBlock

pytestmark = pytest.mark.slow

TOKENS, LENGTH, WIDTH, TOPICS, OUTLIERS, GAIN = 48, 16, 64, 8, 3, 20.0
OTHERS = {
    "round-to-nearest": {"fit": "mse"}, "gpfq": {}, "gptq": {}, "qronos": {}, "frame": {
        "frame": "half-frequency", "redundancy": 1.0, "signs": True, "order": 0, "step_bits": "16",
        "step_rule": "fitted",
    },
}  # fmt: skip


class Encoder(nn.Module):
    """Embeds sequences of token vectors, shape (n, LENGTH, TOKENS), as their mean after two blocks."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(TOKENS, WIDTH)
        self.blocks = nn.Sequential(*(TransformerBlock(WIDTH, 4, 2 * WIDTH) for _ in range(2)))
        self.norm = nn.LayerNorm(WIDTH)
        self.project = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return self.project(self.norm(self.blocks(self.embed(x))).mean(dim=1))


def sequences(count, generator):
    """Sequences of tokens of which half belong to one topic, and the topic."""
    topic = torch.randint(TOPICS, (count,), generator=generator)
    own = topic[:, None] * (TOKENS // TOPICS) + torch.randint(TOKENS // TOPICS, (count, LENGTH), generator=generator)
    noise = torch.randint(TOKENS, (count, LENGTH), generator=generator)
    chosen = torch.where(torch.rand(count, LENGTH, generator=generator) < 0.4, own, noise)
    return nn.functional.one_hot(chosen, TOKENS).float(), topic


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    encoder, head = Encoder(), nn.Linear(WIDTH, TOPICS)
    with torch.no_grad():
        for block in encoder.blocks:
            for norm in (block.norm1, block.norm2):
                norm.weight[torch.randperm(WIDTH, generator=generator)[:OUTLIERS]] = GAIN
    parameters = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-3)
    for _ in range(400):
        x, y = sequences(64, generator)
        loss = nn.functional.cross_entropy(head(encoder(x)), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, y = sequences(500, generator)
    accuracy = float((head(encoder.eval()(x)).argmax(dim=1) == y).float().mean())
    gains = [float(norm.weight.detach().abs().max()) for block in encoder.blocks for norm in (block.norm1, block.norm2)]
    print(f"trained to {100 * accuracy:.1f} %, largest gains {np.round(gains, 1)}")
    assert accuracy > 0.8 and min(gains) > GAIN / 2
    return encoder, sequences(256, generator)[0], x


@pytest.mark.parametrize("bits", [4, 3, 2])
def test_calibrated_frames_keep_embeddings_best(trained, bits):
    encoder, calibration, x = trained
    network = sq.Network(encoder, calibration[:4])
    before = network.outputs(x.numpy())
    found, stored = {}, {}
    for name, choice in {**OTHERS, "frame-calibrated": {"paths": 8}}.items():
        result = sq.compress(network, sq.METHODS[name](bits=bits, **choice), calibration=calibration.numpy(), seed=0)
        after = result.network.outputs(x.numpy())
        norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        cosine = (before * after).sum(axis=1) / norms
        found[name] = cosine.mean()
        stored[name] = result.report.bits_per_weight
        print(
            f"{bits} bits, {name}: cosine mean {cosine.mean():.4f}, worst {cosine.min():.4f}, "
            f"{result.report.bits_per_weight:.3f} stored bits, {result.report.seconds:.2f} s"
        )
    assert stored["frame-calibrated"] <= stored["qronos"]
    assert found["frame-calibrated"] > max(found[name] for name in OTHERS)
