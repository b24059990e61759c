"""The tables of joint pruning and quantization, against figures worked out by hand."""

import dataclasses

from sdqviz.experiments import geta_tables
from sdqviz.methods.geta import recording as recordings
from sdqviz.methods.geta.recording import Beside, Recording


def made(before, after, *beside):
    one = Recording.load(recordings.shipped()["mnist-lenet-50-seed0"])
    report = {**one.report, "accuracy_after": after, "relative_bops": 0.02, "bits_per_weight": 1.5}
    return dataclasses.replace(one, accuracy_before=before, report=report, beside=tuple(beside))


FINE = Beside("GPFQ, 8 bits", 0.9, 0.1, 8.0, 0.0)
RUNS = {
    "net-50-seed0": made(0.99, 0.98, Beside("GPFQ, 2 bits", 0.97, 0.01, 2.0, 0.0), FINE),
    "net-50-seed1": made(0.99, 0.96, Beside("GPFQ, 3 bits", 0.97, 0.03, 3.0, 0.0), FINE),
    "net-50-seed12": made(0.99, 0.97, Beside("GPFQ, 3 bits", 0.97, 0.03, 3.0, 0.0)),
}


def test_seeds_of_a_run_stand_together_with_mean_and_deviation():
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in geta_tables.summary(RUNS).splitlines()[2:]]
    assert [row[:3] for row in rows] == [
        ["net-50", "3", "float"], ["net-50", "3", "GETA"], ["net-50", "3", "GPFQ, 2–3 bits"],
        ["net-50", "2", "GPFQ, 8 bits"]
    ]  # fmt: skip
    assert rows[1][3:] == ["97.00 ± 1.00", "2.00 ± 0.00", "1.50 ± 0.00", ""]
    # seed by seed GETA is +1, −1 and 0 points ahead, and 8 and 6 of the other
    assert rows[2][3:] == ["97.00 ± 0.00", "2.33 ± 1.15", "2.67 ± 0.58", "+0.00 ± 1.00"]
    assert rows[3][6] == "+7.00 ± 1.41"


def test_a_single_run_has_no_deviation_and_an_unfinished_one_no_row():
    one = dict([next(iter(RUNS.items()))])
    assert "98.00 | 2.00 | 1.50" in geta_tables.summary(one) and "±" not in geta_tables.summary(one)
    unfinished = {"net-50-seed0": dataclasses.replace(RUNS["net-50-seed0"], report=None)}
    assert geta_tables.summary(unfinished).count("\n") == 1 == geta_tables.table(unfinished).count("\n") - 2
    assert geta_tables.table(one).count("| net-50-seed0 |") == 4 and "-1.00" in geta_tables.table(one)
