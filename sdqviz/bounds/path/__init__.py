"""Bounds on path following, each with the probability it is stated with: SPFQ, the unified framework, sharper forms.

One statement a file: what is stated (`statement`), of which operator and layer, and then a file for each kind of bound.
"""

from sdqviz.bounds.path.chain import WalkedBlock, WalkedLayer, WalkedNode, joint_bounds
from sdqviz.bounds.path.gaussian import gaussian_form, gaussian_layer, gaussian_range
from sdqviz.bounds.path.layer import DEAD, PLACEMENTS, PathLayer, matching_power, paper_failure
from sdqviz.bounds.path.layer_error import hoeffding_euclidean, hoeffding_infinity, paper_euclidean, paper_infinity
from sdqviz.bounds.path.network import PERFECT, network_hoeffding, network_paper, propagate
from sdqviz.bounds.path.one_bit import one_bit_scaling_hoeffding, one_bit_scaling_paper
from sdqviz.bounds.path.operator import (
    NO_CLIPPING,
    Clipping,
    Operator,
    measured_clipping,
    unbiased,
    unclipped,
    within_reach,
)
from sdqviz.bounds.path.reach import levels_needed, range_hoeffding, range_paper, range_per_step
from sdqviz.bounds.path.sensitivity import (
    Sensitivity,
    layer_bounds,
    per_sample_infinity,
    sample_limits,
    trace_euclidean,
)
from sdqviz.bounds.path.statement import SPFQ, UNIFIED, ProbabilisticBound, probabilistic_bound, sharpest

__all__ = [
    "DEAD",
    "NO_CLIPPING",
    "PERFECT",
    "PLACEMENTS",
    "SPFQ",
    "UNIFIED",
    "Clipping",
    "Operator",
    "PathLayer",
    "ProbabilisticBound",
    "Sensitivity",
    "WalkedBlock",
    "WalkedLayer",
    "WalkedNode",
    "gaussian_form",
    "gaussian_layer",
    "gaussian_range",
    "hoeffding_euclidean",
    "hoeffding_infinity",
    "joint_bounds",
    "layer_bounds",
    "levels_needed",
    "matching_power",
    "measured_clipping",
    "network_hoeffding",
    "network_paper",
    "one_bit_scaling_hoeffding",
    "one_bit_scaling_paper",
    "paper_euclidean",
    "paper_failure",
    "paper_infinity",
    "per_sample_infinity",
    "probabilistic_bound",
    "propagate",
    "range_hoeffding",
    "range_paper",
    "range_per_step",
    "sample_limits",
    "sharpest",
    "trace_euclidean",
    "unbiased",
    "unclipped",
    "within_reach",
]
