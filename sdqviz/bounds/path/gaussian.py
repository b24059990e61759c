"""What Gaussian weights add: relative errors against the width, and bits that suffice."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sdqviz.bounds.path.layer import PathLayer
from sdqviz.bounds.path.layer_error import hoeffding_euclidean
from sdqviz.bounds.path.statement import SPFQ, ProbabilisticBound, check_failure, probabilistic_bound
from sdqviz.bounds.statement import Bound, Hypothesis, bound, condition, number_tex
from sdqviz.error import InputError

FORM = "this is a form only, its constant is not known; compare slopes, not values"


def _gaussian(deviation: float) -> Hypothesis:
    return condition("gaussian", f"the weights are independent N(0, {deviation:.3g}²)", True)


def gaussian_form(samples: int, widths: Sequence[int]) -> Bound:
    """Relative square error ≲ m·(log N_max)^(L+1)/N_min of a network with Gaussian weights: a form, not a bound.

    Parameters
    ----------
    samples : int
        m.
    widths : sequence of int
        N_0, …, N_{L−1}, the numbers of inputs of the L layers.

    Notes
    -----
    The constant is not known to us, so ``holds`` is False and the value is only good for a slope.
    """
    if samples < 1 or not widths or min(widths) < 1:
        raise InputError(f"samples and widths must be at least 1, got {samples} and {list(widths)}")
    depth = len(widths)
    return bound(
        "path-gaussian-form",
        "Gaussian weights (form only)",
        samples * math.log(max(widths)) ** (depth + 1) / min(widths),
        (Hypothesis("constant", "a known constant", FORM, False),),
        reference=f"form of {SPFQ}",
        text="gaussian-weights",
        formula=r"\frac{\|\Phi(X)-\tilde\Phi(X)\|^2}{\|\Phi(X)\|^2}\lesssim\frac{m(\log N_{\max})^{L+1}}{N_{\min}}",
        substituted=rf"\frac{{{samples}\cdot(\log {max(widths)})^{{{depth + 1}}}}}{{{min(widths)}}}",
    )


def gaussian_layer(
    layer: PathLayer, frobenius: float, gram_frobenius: float, failure: float, deviation: float = 1.0
) -> ProbabilisticBound:
    """‖Xw − X̃q‖²/‖Xw‖² ≤ (‖error‖ at γ/2)²/(σ²(‖X‖_F² − 2‖XᵀX‖_F√t)), t = log(2M/γ), for one layer, w ~ N(0, σ²I).

    Parameters
    ----------
    layer : PathLayer
        The layer; M is its number of neurons.
    frobenius, gram_frobenius : float
        ‖X‖_F and ‖XᵀX‖_F of the original inputs.
    failure : float
        γ, half of it for the rounding and half for the weights.
    deviation : float
        σ.

    Notes
    -----
    For columns of one norm the numerator is about mδ²/4 and the denominator N: slope −1 in the width.
    """
    check_failure(failure)
    if not (deviation > 0 and frobenius >= 0 and gram_frobenius >= 0):
        raise InputError(
            f"deviation must be positive and norms not negative, got {deviation}, {frobenius}, {gram_frobenius}"
        )
    error = hoeffding_euclidean(layer, failure / 2)
    t = math.log(2 * layer.neurons / failure)
    least = deviation**2 * (frobenius**2 - 2 * gram_frobenius * math.sqrt(t))
    few = "the inputs point in too few directions for a lower bound"
    enough = condition("directions", f"‖Xw‖² is at least {least:.4g}", least > 0, few)
    return probabilistic_bound(
        "path-gaussian-layer",
        "Gaussian weights, one layer",
        error.value**2 / least if least > 0 else math.inf,
        (*layer.hypotheses(), _gaussian(deviation), enough),
        1 - failure - layer.clipping.failure,
        reference="proved in our docs: gaussian-weights",
        text="gaussian-weights",
        formula=r"\frac{\|Xw-\tilde Xq\|_2^2}{\|Xw\|_2^2}\le"
        r"\frac{B^2}{\sigma^2(\|X\|_F^2-2\|X^{\mathsf T}X\|_F\sqrt t)}",
        substituted=rf"\frac{{{number_tex(error.value)}^2}}{{{number_tex(deviation)}^2({number_tex(frobenius)}^2"
        rf"-2\cdot {number_tex(gram_frobenius)}\sqrt{{{number_tex(t)}}})}}",
    )


def gaussian_range(layer: PathLayer, failure: float, deviation: float = 1.0) -> ProbabilisticBound:
    """max_t|v_t| ≤ (σ + (ω/2)κ/√(2C−1))·√(2 log(4N/γ)) with probability ≥ 1 − γ, for w̃ ~ N(0, σ²I).

    With `levels_needed`, this is the curve of log2(2K+1) ≈ ½ log2 log N bits that suffice.

    Examples
    --------
    >>> from sdqviz.bounds.path import Operator, levels_needed
    >>> def levels(inputs):
    ...     layer = PathLayer.of_norms([1.0] * inputs, samples=10, operator=Operator.quantize(0.5))
    ...     return levels_needed(gaussian_range(layer, failure=0.01), 0.5)
    >>> levels(100), levels(10_000), levels(1_000_000)
    (12, 14, 16)
    """
    check_failure(failure)
    if not deviation > 0:
        raise InputError(f"deviation must be positive, got {deviation}")
    count = layer.inputs * layer.neurons
    feedback = layer.operator.width / 2 * layer.ratio / math.sqrt(2 * layer.scaling - 1)
    return probabilistic_bound(
        "path-range-gaussian",
        "Range of the walk, Gaussian weights",
        (deviation + feedback) * math.sqrt(2 * math.log(4 * count / failure)),
        (layer.operator.unbiased, _gaussian(deviation)),
        1 - failure,
        reference="proved in our docs: gaussian-weights",
        text="gaussian-weights",
        formula=r"\max_t|v_t|\le\Bigl(\sigma+\frac{\omega\kappa}{2\sqrt{2C-1}}\Bigr)\sqrt{2\log(4N/\gamma)}",
        substituted=rf"({number_tex(deviation)}+{number_tex(feedback)})"
        rf"\sqrt{{2\log(4\cdot {count}/{number_tex(failure)})}}",
    )
