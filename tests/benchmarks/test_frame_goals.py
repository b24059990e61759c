"""What frame quantization without data reaches on the shipped networks (``-m slow -s`` shows the table)."""

import numpy as np
import pytest

import sdqviz as sq

pytestmark = pytest.mark.slow

SPREAD = {"frame": "half-frequency", "redundancy": 1.0, "signs": True, "order": 0, "step_bits": "16"}
REACHED = {
    # network, step rule, bits: mean test accuracy over three trained networks, stored bits a weight
    ("mnist-fnn", "fitted", 1): (0.968, 1.1),
    ("mnist-fnn", "fitted", 2): (0.980, 2.1),
    ("mnist-fnn", "range-column", 2): (0.977, 2.1),
    ("mnist-residual", "fitted", 1): (0.965, 1.1),
    ("mnist-residual", "fitted", 2): (0.982, 2.1),
}


@pytest.mark.parametrize(("network", "rule", "bits"), REACHED)
def test_spread_frames_without_data(network, rule, bits):
    method = sq.METHODS["frame"](**SPREAD, bits=bits, step_rule=rule)
    reports = [
        sq.compress(sq.NETWORKS[network](seed=seed).load(), method, calibration=0, seed=0).report for seed in range(3)
    ]
    accuracy = np.array([report.accuracy_after for report in reports])
    stored = max(report.bits_per_weight for report in reports)
    print(f"{network} {rule} {bits} bits: {100 * accuracy.round(4)} % mean {100 * accuracy.mean():.2f} at {stored:.3f}")
    least, most = REACHED[network, rule, bits]
    assert accuracy.mean() >= least and stored <= most
    if rule == "range-column":
        assert all(row.bound_holds for report in reports for row in report.layers)


CALIBRATED = {
    # network, choice: mean test accuracy over three trained networks, stored bits a weight
    ("mnist-fnn", ()): (0.980, 0.90),
    ("mnist-fnn", (("redundancy", 0.8),)): (0.975, 0.70),
    ("mnist-fnn", (("redundancy", 0.49),)): (0.955, 0.45),
    ("mnist-residual", ()): (0.983, 0.95),
}


@pytest.mark.parametrize(("network", "choice"), CALIBRATED)
def test_calibrated_frames_below_one_bit(network, choice):
    method = sq.METHODS["frame-calibrated"](**dict(choice))
    reports = [
        sq.compress(sq.NETWORKS[network](seed=seed).load(), method, calibration=1024, seed=0).report
        for seed in range(3)
    ]
    accuracy = np.array([report.accuracy_after for report in reports])
    stored = max(report.bits_per_weight for report in reports)
    print(
        f"{network} calibrated {dict(choice)}: {100 * accuracy.round(4)} % mean {100 * accuracy.mean():.2f} at "
        f"{stored:.3f} bits, {reports[-1].seconds:.2f} s"
    )
    least, most = CALIBRATED[network, choice]
    assert accuracy.mean() >= least and stored <= most


def test_calibrated_columns_with_their_bound_in_force():
    reports = [
        sq.compress(
            sq.NETWORKS["mnist-fnn"](seed=seed).load(), sq.METHODS["frame-columns"](), calibration=1024, seed=0
        ).report
        for seed in range(3)
    ]
    accuracy = np.array([report.accuracy_after for report in reports])
    stored = max(report.bits_per_weight for report in reports)
    print(f"mnist-fnn columns: {100 * accuracy.round(4)} % mean {100 * accuracy.mean():.2f} at {stored:.3f} bits")
    assert accuracy.mean() >= 0.98 and stored <= 1.75
    for report in reports:
        assert all(row.bound_holds and row.error <= row.bound for row in report.layers)


@pytest.mark.parametrize("basis", ["frame", "pixels"])
def test_entropy_coded_below_one_bit_with_its_bound_in_force(basis):
    reports = [
        sq.compress(
            sq.NETWORKS["mnist-fnn"](seed=seed).load(), sq.METHODS["frame-coded"](basis=basis), calibration=1024, seed=0
        ).report
        for seed in range(3)
    ]
    accuracy = np.array([report.accuracy_after for report in reports])
    stored = max(report.bits_per_weight for report in reports)
    print(
        f"mnist-fnn coded, {basis}: {100 * accuracy.round(4)} % mean {100 * accuracy.mean():.2f} at {stored:.3f} bits"
    )
    assert accuracy.mean() >= 0.979 and stored <= 1.0
    for report in reports:
        assert all(row.bound_holds and row.error <= row.bound for row in report.layers)
