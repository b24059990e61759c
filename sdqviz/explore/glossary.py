"""The words of the field, each in one sentence: the one list that every page takes them from."""

from __future__ import annotations

import functools
import re

TERMS: dict[str, str] = {
    "alphabet": "The values a number may be stored as. With b bits there are 2^b of them.",
    "alignment": "Changing a layer's weights so that it does with its new inputs what it did with the old ones.",
    "bit operations (BOPs)": "Multiplications of a network, each counted as the bits of the weight times those of the "
    "input.",
    "bits per original weight": "All that must be stored (levels, steps, masks, what stays in float) divided by "
    "the number of weights before compression.",
    "bound": "A number the error cannot exceed as long as the stated hypotheses are met.",
    "calibration data": "Some inputs, without labels, that are sent through a network to see what its layers get.",
    "coherence": "The largest |⟨e_m, e_n⟩| of two different vectors of a frame.",
    "dual": "Vectors that put a vector together again from its frame coefficients; the canonical one is the shortest.",
    "feedback": "Adding the error made so far to the next number before it is rounded.",
    "filter": "What spreads the error of a ΣΔ step over the steps to come, by its taps h_1, h_2, …; of order 1 all of "
    "it goes to the next.",
    "frame": "A list of N ≥ d vectors from whose inner products with x, its coefficients, x can be computed again.",
    "GETA": "Training that prunes channels and learns the bits of every layer at the same time.",
    "GPFQ": "Greedy path following: every weight is rounded so that it makes up for the errors of those before it.",
    "GPTQ": "Rounding weight by weight; the weights still to come are changed to make up for each error.",
    "Gram matrix": "All inner products of a list of vectors with each other.",
    "level": "One value of an alphabet.",
    "midrise": "An alphabet without a zero: ±δ/2, ±3δ/2, …",
    "midtread": "An alphabet with a zero: 0, ±δ, ±2δ, …",
    "noise shaping": "Moving the error to where it is not heard: ΣΔ moves it to high frequencies.",
    "order of an alignment": "How many sweeps over the weights an alignment makes.",
    "overload": "The quantizer's input lies beyond its last level by more than half a step; no bound is left.",
    "Pareto front": "The results that no other beats in both size and error.",
    "path following": "Rounding a layer weight after weight, so that each makes up for the errors of those before it.",
    "PCM": "Rounding each coefficient on its own.",
    "permutation": "The order in which the vectors of a frame are visited.",
    "pruning": "Setting weights to zero, or removing whole channels.",
    "redundancy": "N/d, the number of frame vectors for each dimension.",
    "residual": "What is left over: of a layer's output what later weights can still mend, of a tight frame how far "
    "from tight it is.",
    "rounding": "Taking the nearest level of each number on its own.",
    "ΣΔ": "Rounding with feedback: what a step leaves over is added to the next number before it is rounded.",
    "SPFQ": "Path following with dice: each value is rounded up or down at random, right on average, so that a bound "
    "holds with a stated probability.",
    "state": "u_n, the sum of the errors so far; stable ΣΔ keeps it within ±δ/2.",
    "step": "δ, the distance of neighbouring levels.",
    "tight": "A frame with equally much of every direction: x is the sum of its coefficients times the vectors, times "
    "d/N.",
    "variation": "σ(F, p), the length of the tour through all vectors of a frame in the order p.",
}


@functools.cache
def _patterns() -> dict[str, re.Pattern[str]]:
    """Return how each word is found in a text: its abbreviation too, its plural too, no matter how it is written."""
    found = {}
    for term in TERMS:
        names = [re.escape(name) for name in re.split(r" \(|\)", term) if name]
        found[term] = re.compile(rf"(?<!\w)(?:{'|'.join(names)})(?:s|es)?(?!\w)", re.IGNORECASE)
    return found


@functools.lru_cache(512)
def used(text: str) -> dict[str, str]:
    """Return the words of the field that a text uses, with what they mean, in the order of the alphabet.

    Examples
    --------
    >>> sorted(used("Frames and their Gram matrix, 2 BOPs"))
    ['Gram matrix', 'bit operations (BOPs)', 'frame']
    """
    found = [term for term, pattern in _patterns().items() if pattern.search(text)]
    return {term: TERMS[term] for term in sorted(found, key=str.lower)}


def lines(terms: dict[str, str]) -> str:
    """Write words and their meanings as Markdown, a paragraph each."""
    return "\n\n".join(f"**{term}**: {meaning}" for term, meaning in terms.items())
