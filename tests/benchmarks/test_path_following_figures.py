"""What calibrated methods reach on the shipped networks with default settings (``-m slow -s`` shows the table)."""

import pytest

import sdqviz as sq

pytestmark = pytest.mark.slow

LOST = {
    # network, bits: how much test accuracy each method may lose
    ("mnist-fnn", 4): (0.003, {"gpfq": {}, "gptq": {}, "qronos": {}, "spfq": {}}),
    ("mnist-fnn", 3): (0.01, {"gpfq": {}, "gptq": {}, "qronos": {}, "spfq": {}}),
    ("mnist-lenet", 4): (0.003, {"gpfq": {}, "gptq": {}, "qronos": {}, "spfq": {}}),
}
REACHED = {
    # midrise alphabets of 4 and 2 levels, one scale for each neuron
    ("mnist-fnn", 2): (0.974, {"gpfq": {}, "gptq": {}, "qronos": {}}),
    ("mnist-fnn", 1): (0.95, {"gpfq": {}, "gptq": {}, "qronos": {}, "spfq": {}}),
}


def compressed(network, name, bits, **choice):
    report = sq.compress(network, sq.METHODS[name](bits=bits, **choice), calibration=1024).report
    print(
        f"{network.name} {name} {bits} bits {choice or ''}: {100 * report.accuracy_after:.2f} % of "
        f"{100 * report.accuracy_before:.2f} %, {report.bits_per_weight:.2f} stored bits per weight, relative output "
        f"error {report.relative_output_error:.4f}, {100 * report.sparsity:.1f} % zeros, {report.seconds:.2f} s"
    )
    return report


@pytest.mark.parametrize(("network", "bits"), [*LOST, *REACHED])
def test_accuracy(network, bits):
    print()
    loaded = sq.NETWORKS[network](seed=0).load()
    for name, choice in (LOST | REACHED)[network, bits][1].items():
        report = compressed(loaded, name, bits, **choice)
        if (network, bits) in LOST:
            assert report.accuracy_after >= report.accuracy_before - LOST[network, bits][0]
        elif bits > 1:
            assert report.accuracy_after >= REACHED[network, bits][0]
        else:
            assert report.accuracy_after >= REACHED[network, bits][0] - 0.01
    plain = compressed(loaded, "round-to-nearest", bits, fit="mse")
    assert plain.relative_output_error > report.relative_output_error


def test_what_lifts_one_bit():
    print()
    network = sq.NETWORKS["mnist-fnn"](seed=0).load()
    best = 0.0
    for name, choice in (
        ("gpfq", {"fit": "mse"}),
        ("gpfq", {}),
        ("gpfq", {"order": 10}),
        ("gpfq", {"order": 10, "refinement": 3}),
        ("gptq", {}),
        ("qronos", {}),
        ("qronos", {"refinement": 3}),
    ):
        best = max(best, compressed(network, name, 1, **choice).accuracy_after)
    assert best >= 0.97


def test_half_of_the_weights_pruned_at_four_bits():
    print()
    for name, tolerance in (("mnist-fnn", 0.005), ("mnist-lenet", 0.02)):
        network = sq.NETWORKS[name](seed=0).load()
        report = compressed(network, "unified", 4, operator="quantize-prune", pruning_ratio=0.5)
        assert report.accuracy_after >= report.accuracy_before - tolerance
        assert report.sparsity == pytest.approx(0.5, abs=0.01)
        compressed(network, "unified", 4, operator="quantize-prune", pruning_ratio=0.5, order=10)
        compressed(network, "gpfq", 4, threshold="hard", pruning_ratio=0.5)
        compressed(network, "magnitude-pruning", 4, pruning_ratio=0.5)
