"""Lipschitz constants of torch's activations, each with its proof, and whether they are 0 at 0."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


@dataclasses.dataclass(frozen=True)
class Activation:
    """What the theorems use of an activation ρ.

    Attributes
    ----------
    lipschitz : float or None
        A number L with |ρ(x) − ρ(y)| ≤ L|x − y|, rounded up where it is not exact; None where there is none.
    zero : bool
        Whether ρ(0) = 0.
    """

    lipschitz: float | None
    zero: bool = True

    @property
    def obstacle(self) -> str:
        """What keeps the theorems from applying, as the end of a sentence about it; empty for nothing."""
        if self.lipschitz is None:
            return "has no Lipschitz constant; the theorems ask for one"
        return "" if self.zero else "is not 0 at 0; the theorems ask for ρ(0) = 0"


def of(part: nn.Module) -> Activation | None:
    """Return what is known of a module as an activation; None if it is none of torch's own."""
    rule = _rules().get(type(part))
    return None if rule is None else rule(part)


@functools.cache
def _rules() -> Mapping[type, Callable[[Any], Activation]]:
    """Return a rule for each class. A piecewise smooth continuous function has sup|ρ'| as its constant."""
    from torch import nn

    one = Activation(1.0)
    return {
        # slopes are 0 and 1
        nn.ReLU: lambda _: one,
        nn.ReLU6: lambda _: one,
        nn.Softshrink: lambda _: one,
        # the slope is 0 outside of [min, max] and 1 inside; ρ(0) = 0 where 0 lies inside
        nn.Hardtanh: lambda part: Activation(1.0, part.min_val <= 0 <= part.max_val),
        # slopes are 1 and the slope given; of RReLU in evaluation mode, the mean of its limits
        nn.LeakyReLU: lambda part: Activation(max(1.0, abs(part.negative_slope))),
        nn.PReLU: lambda part: Activation(max(1.0, float(part.weight.detach().double().abs().max()))),
        nn.RReLU: lambda part: Activation(max(1.0, abs(part.lower + part.upper) / 2)),
        # ρ' = 1 − tanh² lies in (0, 1], and for x − tanh x it is tanh², in [0, 1)
        nn.Tanh: lambda _: one,
        nn.Tanhshrink: lambda _: one,
        # ρ' = 1/(1 + |x|)² ≤ 1
        nn.Softsign: lambda _: one,
        # ρ' = 1 for x > 0, and αeˣ with eˣ ≤ 1 below
        nn.ELU: lambda part: Activation(max(1.0, abs(part.alpha))),
        nn.SELU: lambda _: Activation(SELU),
        # max(0, x) + min(0, α(e^(x/α) − 1)): for α > 0 the slope below 0 is e^(x/α) ≤ 1; for α < 0 it grows without end
        nn.CELU: lambda part: Activation(1.0 if part.alpha > 0 else None),
        nn.GELU: lambda part: Activation(GELU if part.approximate == "none" else GELU_TANH),
        nn.SiLU: lambda _: Activation(SILU),
        nn.Mish: lambda _: Activation(MISH),
        # x(x + 3)/6 on [−3, 3] has the slope (2x + 3)/6, from −1/2 to 3/2; outside it is 0 and 1
        nn.Hardswish: lambda _: Activation(1.5),
        # ρ' = s(1 − s) ≤ 1/4; ρ(0) = 1/2
        nn.Sigmoid: lambda _: Activation(0.25, False),
        # ρ' is 0 or 1/6; ρ(0) = 1/2
        nn.Hardsigmoid: lambda _: Activation(1 / 6 + 1e-16, False),
        # ρ' = 1 − s(x) lies in (0, 1); ρ(0) = −log 2
        nn.LogSigmoid: lambda _: Activation(1.0, False),
        # ρ' = s(βx) lies in (0, 1), but torch goes over to x where βx passes a threshold: a jump; ρ(0) = log(2)/β
        nn.Softplus: lambda _: Activation(None, False),
        # jumps where it begins to let values pass, unless nothing is cut off
        nn.Hardshrink: lambda part: Activation(1.0 if part.lambd <= 0 else None),
        nn.Threshold: lambda part: Activation(
            1.0 if part.value == part.threshold else None, part.threshold >= 0 == part.value or part.threshold < 0
        ),
    }


SELU = math.nextafter(1.0507009873554805 * 1.6732632423543772, 2)
"""scale·α: the slope is scale·α·eˣ for x ≤ 0, where eˣ ≤ 1, and scale < scale·α above."""

GELU = 1.12890414519
"""ρ = xΦ(x), ρ' = Φ + xφ, ρ'' = (2 − x²)φ: steepest at √2, where ρ' = (1 + erf 1)/2 + e⁻¹/√π = 1.128904145185…

By ρ'(−x) = 1 − ρ'(x) the slope is never below −0.1289…"""

GELU_TANH = 1.12899307
"""ρ = x s(2u), u = √(2/π)(x + 0.044715x³), with s the logistic function; ρ' = s + 2xu's(1 − s), and ρ'(−x) = 1 − ρ'(x).

For x > 4 both s < 1 and 2xu's(1 − s) < 2xu'e^(−2u) < 0.002. On [0, 4] |ρ''| < 2, so that steps of 10⁻⁵ miss at most
(10⁻⁵)²/4·max|ρ'''| < 10⁻⁹ of the maximum: evaluated there it is 1.1289930687 (at 1.4185)."""

SILU = 1.09983933
"""ρ = x s(x), ρ' = s + x s(1 − s), ρ'' = s(1 − s)(2 − x tanh(x/2)): steepest where x tanh(x/2) = 2, at 2.39935728…

where ρ' = 1.0998393202 (x/2 there, since 1 − s = (1 − 2/x)/2 gives ρ' = s + x(1 − (2/x)²)/4); ρ'(−x) = 1 − ρ'(x)."""

MISH = 1.08849817
"""ρ = x tanh(log(1 + eˣ)) = x(1 − 2/(w² + 1)) with w = 1 + eˣ; ρ' = 1 − 2/(w² + 1) + 4xw(w − 1)/(w² + 1)².

For x > 6 the last term is below 4x/(w² ) < 10⁻³; for x < −6 |ρ'| < 2|x|eˣ < 0.04. Between, |ρ'''| < 2: steps of 10⁻⁵
miss the maximum by less than 10⁻⁹; evaluated there it is 1.0884981613 (at 1.4906), the minimum −0.1131…"""
