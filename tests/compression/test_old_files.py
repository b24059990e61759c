"""Files that earlier versions wrote still load."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

import sdqviz as sq


def test_a_frame_file_of_version_0_2_loads_to_the_weights_it_was_saved_with():
    network = sq.Network(nn.Sequential(nn.Linear(5, 4)), torch.zeros(1, 5))
    loaded = sq.load(Path(__file__).parent / "frame-0.2.0.sdq", network)
    saved = [
        [0.02916982, 0.304803211, -0.229536446, -0.399658003, -0.121604482],
        [0.092426285, -0.013541513, 0.285342415, 0.003835842, 0.095299529],
        [-0.116585644, -0.145008544, -0.369461452, -0.234407725, -0.195734356],
        [0.017079687, 0.112270779, 0.290527063, -0.211109487, -0.223696238],
    ]
    np.testing.assert_allclose(loaded.layers[0].weight, saved, atol=1e-8)
