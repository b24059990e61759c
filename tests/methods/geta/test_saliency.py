"""Scores of units by hand, and which units are marked."""

import math

import numpy as np
import pytest
import torch

from sdqviz.methods.geta.saliency import SCORES, Sums, least_salient, saliency


def test_scores_by_hand():
    values = torch.tensor([3.0, 4.0, 1.0, 0.0])
    slopes = torch.tensor([1.0, 0.0, -2.0, 7.0])
    sums = Sums.of(values, slopes, torch.tensor([0, 0, 1, 2]), 3)
    found = [score(sums).tolist() for score in SCORES]
    expected = [[5, 1, 0], [2.5, 1, 0], [3 / 5 + 1, 0, 1], [3, 2, 0], [4.5, 2, 0]]
    for row, wanted in zip(found, expected, strict=True):
        assert row == pytest.approx(wanted)
    parts = [np.array(row) / np.linalg.norm(row) for row in expected]
    assert saliency(sums).tolist() == pytest.approx(np.mean(parts, axis=0).tolist())


def test_score_that_is_zero_throughout_adds_nothing():
    sums = Sums.of(torch.zeros(4), torch.zeros(4), torch.tensor([0, 0, 1, 1]), 2)
    assert saliency(sums).tolist() == pytest.approx([0.2 / math.sqrt(2)] * 2)


def test_least_salient_leaves_a_unit_in_every_group():
    scores = torch.tensor([0.1, 0.2, 0.9, 0.3, 0.4], dtype=torch.float64)
    group, free = torch.tensor([0, 0, 1, 1, 1]), torch.ones(5, dtype=torch.bool)
    assert least_salient(scores, group, free, 3, [1, 2]).tolist() == [0, 3, 4]
    assert least_salient(scores, group, free, 2, [1, 1]).tolist() == [0, 3]
    free[0] = False
    assert least_salient(scores, group, free, 2, [1, 2]).tolist() == [3, 4]
