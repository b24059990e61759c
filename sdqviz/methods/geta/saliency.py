"""How much a unit matters: five scores, and their mean."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Sums:
    """What the scores need of every unit.

    Attributes
    ----------
    size : Tensor, shape (units,)
        Numbers x_g consists of.
    square, gradient_square, product : Tensor, shape (units,)
        ‖x_g‖², ‖∇_g‖² and ⟨x_g, ∇_g⟩; ∇ is the gradient of the loss.
    """

    size: Tensor
    square: Tensor
    gradient_square: Tensor
    product: Tensor

    @classmethod
    def of(cls, values: Tensor, gradients: Tensor, unit: Tensor, units: int) -> Sums:
        """Add up entries, shape (n,), by their unit, shape (n,) of int64; in float64."""
        x, slope = values.double(), gradients.double()
        rows = torch.stack([torch.ones_like(x), x * x, slope * slope, x * slope])
        size, square, gradient_square, product = torch.zeros(4, units, dtype=rows.dtype).index_add_(1, unit, rows)
        return cls(size, square, gradient_square, product)


def magnitude(sums: Sums) -> Tensor:
    """Return ‖x_g‖."""
    return sums.square.sqrt()


def mean_magnitude(sums: Sums) -> Tensor:
    """Return ‖x_g‖/size."""
    return sums.square.sqrt() / sums.size


def cosine(sums: Sums) -> Tensor:
    """Return cos(x_g, ∇) + 1; the cosine of a zero vector is 0."""
    norms = (sums.square * sums.gradient_square).sqrt()
    return torch.where(norms > 0, sums.product / norms.clamp_min(torch.finfo(norms.dtype).tiny), 0.0) + 1


def first_order(sums: Sums) -> Tensor:
    """Return |⟨x_g, ∇⟩|: how much the loss changes to first order when the unit goes."""
    return sums.product.abs()


def second_order(sums: Sums) -> Tensor:
    """Return ½⟨x_g, ∇⟩²: the second-order term with the curvature ∇∇ᵀ."""
    return sums.product.square() / 2


SCORES = (magnitude, mean_magnitude, cosine, first_order, second_order)


def saliency(sums: Sums) -> Tensor:
    """Return the mean of the five scores, each divided by its Euclidean norm over all units, shape (units,).

    A score that is zero throughout adds nothing. After Qu et al., *GETA*, arXiv 2502.16638.
    """
    total = torch.zeros_like(sums.square)
    for score in SCORES:
        values = score(sums)
        norm = float(torch.linalg.vector_norm(values))
        if norm > 0:
            total += values / norm
    return total / len(SCORES)


def least_salient(scores: Tensor, group: Tensor, free: Tensor, count: int, most: list[int]) -> Tensor:
    """Return the least salient units that may go, in the order of their scores.

    Parameters
    ----------
    scores : Tensor, shape (units,)
        Of every unit.
    group : Tensor of int64, shape (units,)
        The group of each unit.
    free : Tensor of bool, shape (units,)
        Units that are not marked yet.
    count : int
        How many to take.
    most : list of int
        Units that each group may lose, those that are marked already included.

    Returns
    -------
    Tensor of int64, shape (count,)
    """
    marked = torch.bincount(group[~free], minlength=len(most)).tolist()
    left = [limit - gone for limit, gone in zip(most, marked, strict=True)]
    candidates = torch.nonzero(free).reshape(-1)
    order = candidates[torch.argsort(scores[candidates], stable=True)]
    taken: list[int] = []
    for unit, of in zip(order.tolist(), group[order].tolist(), strict=True):
        if len(taken) == count:
            break
        if left[of] > 0:
            left[of] -= 1
            taken.append(unit)
    return torch.tensor(taken, dtype=torch.int64)
