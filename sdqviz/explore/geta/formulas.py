"""The formulas behind the pictures of joint pruning and quantization, with the numbers of one run put in."""

from __future__ import annotations

from sdqviz.bounds.statement import number_tex
from sdqviz.explore.formula import Formula
from sdqviz.explore.wording import number, percent
from sdqviz.methods.geta.recording import Recording

GETA = "Qu et al., Automatic joint structured pruning and quantization (GETA), CVPR 2025, arXiv 2502.16638"


def steps(run: Recording) -> list[Formula]:
    """Return what the quantizers are, what happens in a joint step, and why it goes down."""
    return [_quantizer(run), _gradients(), _projection(run), _joint(run), _descent(run)]


def _quantizer(run: Recording) -> Formula:
    bits = list(run.moments[-1].weight_bits.values()) if run.moments else []
    activations = list(run.moments[-1].activation_bits.values()) if run.moments else []
    return Formula(
        r"x^Q=d\,\operatorname{sgn}(x)\,\mathrm{round}\!\Bigl(\frac{c}{d}\Bigr),\quad c=\min(|x|,q_m)^t,\quad "
        r"b=\log_2\!\Bigl(\frac{q_m^t}{d}+1\Bigr)+1",
        [
            ("d,\\,q_m,\\,t", "step, range and curvature of a layer's quantizer, all three learned", ""),
            ("b", "bits of the weights at the last recorded step", _span(bits)),
            ("b_a", "bits of the activations at that step", _span(activations) if activations else "not quantized"),
        ],
        f"{GETA}. Each layer has one quantizer for its weights and, where activations are quantized, one for its "
        "inputs. b changes with the three numbers; it is whole at the end.",
    )


def _span(values: list[float]) -> str:
    if not values:
        return "none"
    return number(min(values)) if min(values) == max(values) else f"{number(min(values))} to {number(max(values))}"


def _gradients() -> Formula:
    return Formula(
        r"\begin{gathered}\frac{\partial x^Q}{\partial d}=\operatorname{sgn}(x)\Bigl(\mathrm{round}\bigl(\tfrac cd"
        r"\bigr)-\tfrac cd\Bigr),\qquad\frac{\partial x^Q}{\partial t}=\operatorname{sgn}(x)\,c\,\log\min(|x|,q_m),\\"
        r"\frac{\partial x^Q}{\partial q_m}=\begin{cases}0&|x|\le q_m\\ \operatorname{sgn}(x)\,t\,q_m^{t-1}&|x|>q_m"
        r"\end{cases},\qquad\frac{\partial x^Q}{\partial x}=\begin{cases}1&|x|\le q_m\\0&|x|>q_m\end{cases}"
        r"\end{gathered}",
        [],
        "Straight-through gradients: rounding is passed over as if it were the identity; at x = 0 the second is 0.",
    )


def _projection(run: Recording) -> Formula:
    low, high, inputs = (run.method.get(key) for key in ("bits_low", "bits_high", "activation_bits_low"))
    symbols = []
    if low and high:
        symbols.append((r"b_l,\,b_u", "fewest and most bits a layer may end with", f"{low:g} and {high:g}"))
    if inputs:
        symbols.append((r"b_l^a", "fewest bits of activations", f"{inputs:g}"))
    return Formula(
        r"d\leftarrow\min\Bigl(\max\Bigl(d,\frac{q_m^t}{2^{b_u-1}-1}\Bigr),\frac{q_m^t}{2^{b_l-1}-1}\Bigr)",
        symbols,
        "Projection: after every step only d is brought back into the allowed range; after each period the upper "
        "limit b_u is lowered.",
    )


def _joint(run: Recording) -> Formula:
    last = run.moments[-1] if run.moments else None
    rate = run.method.get("rate")
    return Formula(
        r"x\leftarrow x-\gamma\,x^Q-\alpha\,g\quad\text{(marked redundant)},\qquad x\leftarrow x-\alpha\,g"
        r"\quad\text{(the others)}",
        [
            (r"\alpha", "learning rate", number(rate) if isinstance(rate, int | float) else ""),
            ("g", "direction of the optimizer", str(run.method.get("optimizer", ""))),
            (
                r"\gamma",
                "how fast a redundant unit is driven to zero: 1/(steps left in the period) where forgetting it goes "
                "down, else just so much that the whole step still does",
                "",
            ),
            ("R", "share of the prunable units marked so far", percent(last.redundant) if last else ""),
            ("Z", "share of them whose numbers are all exactly zero", percent(last.zero) if last else ""),
        ],
        f"{GETA}. The step d of the layer is chosen together with γ.",
    )


def _descent(run: Recording) -> Formula:
    ascents = run.moments[-1].ascents if run.moments else 0
    tau = run.method.get("tau")
    return Formula(
        r"\gamma\leftarrow\min\Bigl(\gamma,\frac{(1-\tau)\,\alpha\|g\|^2}{|\langle g,x^Q\rangle|}\Bigr)\ \text{if}\ "
        r"\langle g,x^Q\rangle<0\quad\Longrightarrow\quad\langle g,\,-\gamma x^Q-\alpha g\rangle\le-\tau\alpha\|g\|^2",
        [
            (r"\tau", "share of the descent that is kept", number(tau) if isinstance(tau, int | float) else ""),
            (r"\#", "joint steps of this run that went uphill", f"{ascents:,}"),
        ],
        "The safeguard, a choice of the method, on by default. The published rule bounds the step with the old "
        "rounding and can go uphill after rounding anew.",
        text="safeguarded-descent",
    )


def saliency(run: Recording) -> Formula:
    """Return how units are scored."""
    removed, units = totals(run)
    return Formula(
        r"s_g=\frac15\Bigl(\frac{\|x_g\|}{\ell_1}+\frac{\|x_g\|/n_g}{\ell_2}+\frac{1+\cos(x_g,\nabla_g)}{\ell_3}"
        r"+\frac{|\langle x_g,\nabla_g\rangle|}{\ell_4}+\frac{\langle x_g,\nabla_g\rangle^2/2}{\ell_5}\Bigr)",
        [
            ("x_g,\\,\\nabla_g", "all numbers of unit g, and the gradient of the loss in them", ""),
            ("n_g", "how many there are", ""),
            (r"\ell_i", "Euclidean norm of the i-th score over all units", ""),
            ("K", "units removed, those with the least saliency", f"{removed:,} of {units:,}"),
        ],
        f"{GETA}. Each period of the joint stage scores all units anew and marks the next ones.",
    )


def bops(run: Recording) -> Formula:
    """Return how the cost of arithmetic is counted."""
    report = run.report or {}
    now = relative_bops(run)
    counts = [(key, report.get(key)) for key in ("bops", "original_macs")]
    known = all(isinstance(value, int | float) and value > 0 for _, value in counts)
    substituted = (
        rf"\frac{{{number_tex(report['bops'])}}}{{32\cdot32\cdot{number_tex(report['original_macs'])}}}"
        if known
        else ""
    )
    return Formula(
        r"\mathrm{BOPs}=\sum_\ell \mathrm{MACs}_\ell\,b_\ell\,b_{a,\ell},\qquad\text{relative: over }"
        r"\sum_\ell 32\cdot32\,\mathrm{MACs}_\ell\text{ of the original}",
        [
            (r"\mathrm{MACs}_\ell", "multiplications of layer ℓ for one input, with what is left of it", ""),
            (r"b_\ell,\,b_{a,\ell}", "bits of its weights and of its inputs; 32 where they are not quantized", ""),
            (r"\mathrm{BOPs}/\mathrm{BOPs}_{32}", "now", percent(now)),
        ],
        "Bit operations as in the quantization literature.",
        (substituted + rf"={number_tex(now)}") if substituted else "",
    )


def relative_bops(run: Recording) -> float:
    """Return the relative BOPs of the report, or else of the last moment; 1 before the first."""
    found = (run.report or {}).get("relative_bops")
    if isinstance(found, int | float) and found > 0:
        return float(found)
    return run.moments[-1].relative_bops if run.moments else 1.0


def groups(run: Recording) -> Formula:
    """Return what a group is."""
    removed, units = totals(run)
    kept = sum(not one.prunable for one in run.groups)
    return Formula(
        r"a\sim b\iff\text{an operation needs channels }a\text{ and }b\text{ at the same place},\qquad"
        r"\text{unit}=[a]_\sim",
        [
            ("G", "groups", f"{len(run.groups)}"),
            ("G_0", "of them kept, because they reach the output or cannot be cut", f"{kept}"),
            ("U", "units of prunable groups", f"{units:,}"),
            ("K", "removed", f"{removed:,}"),
        ],
        "Sums, concatenations, norms, products and reshapes tie channels; all that hangs on one another is a unit, "
        f"minimally removable: {GETA}. Quantizers belong to the layer they feed, so they change no group.",
    )


def totals(run: Recording) -> tuple[int, int]:
    """Return how many units are removed, and how many prunable ones there are."""
    prunable = [one for one in run.groups if one.prunable]
    return sum(len(one.removed) for one in prunable), sum(one.units for one in prunable)
