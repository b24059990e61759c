"""What every lesson promises: an answer of the guess's kind, and sentences that are true of numbers found elsewhere."""

import dataclasses
import re

import numpy as np
import pytest

import sdqviz as sq
from sdqviz import asset
from sdqviz.error import InputError
from sdqviz.explore import sigma_delta as vector
from sdqviz.explore.wording import number, percent
from sdqviz.lessons import LESSONS
from sdqviz.lessons.lesson import Claim, Curve, Number, OneOf
from sdqviz.methods.geta.recording import Recording, shipped

NAMES = sorted(LESSONS, key=lambda name: LESSONS[name].place)


@pytest.fixture(scope="module")
def revealed():
    """Every answer, computed once."""
    known = {}

    def reveal(name):
        if name not in known:
            known[name] = LESSONS[name]().reveal()
        return known[name]

    return reveal


def test_they_are_numbered_without_a_gap():
    assert [LESSONS[name].place for name in NAMES] == list(range(1, len(NAMES) + 1))


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_can_be_guessed_and_what_is_said_is_true(name, revealed):
    lesson, found = LESSONS[name](), revealed(name)
    assert lesson.guess.read(found.truth) == pytest.approx(found.truth)
    assert found.claims
    for claim in found.claims:
        assert claim.holds, claim.what
    assert len(re.findall(r"\d", found.sentence)) >= 2, "the sentence tells numbers"
    assert lesson.why and lesson.break_it and "?" in lesson.question
    if lesson.proof:
        assert (asset.folder() / "texts" / f"{lesson.proof}.md").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_drawn_is_complete(name, revealed):
    found = revealed(name)
    assert len({one.name for one in found.series}) == len(found.series) >= 1
    for one in found.series:
        assert len(one.x) == len(one.y) >= 2 and np.isfinite(one.y).all()
        assert not found.log_y or (one.y > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_right_and_a_wrong_guess_are_told_apart(name, revealed):
    lesson, found = LESSONS[name](), revealed(name)
    if isinstance(lesson.guess, OneOf):
        wrong = next(one for one in lesson.guess.options if one != found.truth)
        assert lesson.surprise(found.truth, found) == "Your guess was right."
        assert lesson.guess.options[found.truth] in lesson.surprise(wrong, found)
    elif isinstance(lesson.guess, Curve):
        assert lesson.surprise(found.truth, found).endswith("close.")
        middle = (lesson.guess.low + lesson.guess.high) / 2
        far = [lesson.guess.low if one > middle else lesson.guess.high for one in found.truth]
        _, place = lesson.guess.distance(far, found.truth)
        said = f"you drew {far[place]:g}, it is {found.truth[place]:.3g}."
        assert lesson.surprise(far, found).endswith(said)
    else:
        assert lesson.surprise(found.truth, found).endswith("close.")
        far = lesson.guess.low if found.truth > (lesson.guess.low + lesson.guess.high) / 2 else lesson.guess.high
        word = "more" if found.truth > far else "less"
        assert lesson.surprise(far, found).endswith(f"{word} than you thought.")


@pytest.mark.parametrize("given", ["x", None, "nan", 61, -1])
def test_a_number_out_of_range_is_no_guess(given):
    with pytest.raises(InputError, match="guess must be a number from 0 to 60, got"):
        Number("x", 0, 60, 1).read(given)


def test_an_answer_nobody_offered_is_no_guess():
    with pytest.raises(InputError, match="guess must be one of a, b, got 'c'"):
        OneOf("x", {"a": "first", "b": "second"}).read("c")


@pytest.mark.parametrize("given", [None, [1.0], [1.0, 2.0, "x"], [1.0, 2.0, 4.0], 3.0])
def test_a_curve_with_other_points_is_no_guess(given):
    curve = Curve("x", (0.1, 0.2, 0.3), "s", 0.0, 3.0, 1.0)
    with pytest.raises(InputError, match="guess must be"):
        curve.read(given)
    assert curve.read([1, 2.0, "3"]) == (1.0, 2.0, 3.0)
    assert curve.distance([0, 0, 3], (0, 1, 0)) == (pytest.approx(4 / 3), 2)


def test_the_spectrum_in_bands_is_that_of_the_plain_loop(revealed):
    frame = sq.FRAMES["harmonic"](dimension=16, size=1024).build()
    asked = revealed("noise-shaping")
    x = frame.vectors @ vector.build(asked.choices).vector
    step = float(vector.build(asked.choices).step)
    errors, u = [], 0.0
    for value in x:
        level = step * (np.clip(np.floor((u + value) / step), -2, 1) + 0.5)
        errors.append(value - level)
        u += value - level
    power = np.abs(np.fft.rfft(errors)[1:]) ** 2 / 1024 / (step**2 / 12)
    frequency = np.fft.rfftfreq(1024)[1:]
    for at, told in zip((0.05, 0.15, 0.25, 0.35, 0.45), asked.truth, strict=True):
        near = power[np.abs(frequency - at) <= 0.05].mean()
        assert told == pytest.approx(10 * np.log10(near), abs=0.3)  # bands end at the page's bins, not at ours


def test_a_claim_that_is_false_is_seen():
    assert Claim("", 1.0, "<", 2.0).holds and not Claim("", 2.0, "<", 1.0).holds
    assert Claim("", 2.0, "≤", 2.0).holds and not Claim("", 1.0, "=", 1.1).holds


# -- each sentence against numbers that were found another way ------------------------------------------------


def test_passing_on_is_the_plain_loop(revealed):
    frame = sq.FRAMES["harmonic"](dimension=4, size=256).build()
    x = frame.vectors @ np.random.default_rng([0, 1]).standard_normal(4)
    step = 2 * np.abs(x).max()
    levels = np.where(x >= 0, step / 2, -step / 2)
    u = far = 0.0
    for value in x:
        u += value
        u -= step / 2 if u >= 0 else -step / 2
        far = max(far, abs(u) / step)
    found = revealed("passing-on")
    assert found.truth == pytest.approx(np.abs(np.cumsum(x - levels)).max() / step)
    assert number(far) in found.sentence and far <= 0.5 + 1e-9


def test_the_smallest_step_is_where_the_plain_loop_begins_to_stay(revealed):
    frame = sq.FRAMES["harmonic"](dimension=8, size=64).build()
    x = frame.vectors @ np.random.default_rng([0, 1]).standard_normal(8)
    x /= np.abs(x).max()

    def stays(step):
        u, most = 0.0, 0.0
        for value in x:
            u += value
            u -= step / 2 if u >= 0 else -step / 2
            most = max(most, abs(u))
        return most <= step / 2 * (1 + 1e-9)

    found = float(revealed("small-step").truth)
    assert stays(found) and not stays(found - 0.05) and all(stays(found + 0.05 * k) for k in range(1, 20))


def test_the_random_tour_is_as_long_as_its_steps(revealed):
    frame = sq.FRAMES["harmonic"](dimension=8, size=128).build()
    length = {}
    for name in ("identity", "random"):
        order = sq.PERMUTATIONS[name]().order(frame, 0)
        length[name] = np.linalg.norm(np.diff(frame.vectors[order], axis=0), axis=1).sum()
    assert revealed("other-order").truth == pytest.approx(length["random"] / length["identity"])


def test_doubling_is_measured_between_two_sizes(revealed):
    found = revealed("double-frame")
    curve = next(one for one in found.series if one.meaning == "ours")
    ends = (curve.y[-1] / curve.y[0]) ** (1 / np.log2(curve.x[-1] / curve.x[0]))
    told = float(re.search(r"falls to ([\d.]+) of", found.sentence)[1])
    assert told == pytest.approx(ends, abs=0.05)


def test_the_best_of_the_past_errors_ends_lowest(revealed):
    found = revealed("past-errors")
    ends = {one.name: one.y[-1] for one in found.series}
    best = LESSONS["past-errors"].guess.options[found.truth]
    assert min(ends, key=ends.get) == best != "rounding"


def test_what_is_not_free_is_counted_from_the_levels(revealed):
    found = revealed("nothing-is-free")
    bits = next(one for one in found.series if one.name == "bits per weight").y
    columns = [(784, 256), (256, 256), (256, 10)]  # inputs and outputs of the three layers
    weights = sum(i * o for i, o in columns)
    levels = {o * 1000 for _, o in columns} | {i * 1000 for i, _ in columns}
    assert min(levels) > 0
    rounded = sq.compress(sq.NETWORKS["mnist-fnn"](seed=0).load(), sq.METHODS["round-to-nearest"](bits=4))
    state = rounded.network.module.state_dict()
    kept = sum(int(np.count_nonzero(value.numpy())) for value in state.values() if value.ndim == 2)
    scales = 32 * (256 + 256 + 10) / weights  # zeros may be told by a map, which is stored where it is the shorter
    assert 4 * kept / weights + scales < bits[1] <= 4 + scales * 36 / 32 + 0.01
    assert bits[0] > 4 and found.truth.endswith("b") == (bits[1] < bits[0])


def test_which_channels_is_read_from_the_widths(revealed):
    run = Recording.load(shipped()["mnist-lenet-70-seed0"])
    kept = {one.name: one.after / one.before for one in run.vertices if one.name in {"conv1", "conv2", "hidden"}}
    least = min(kept, key=kept.get)
    assert revealed("which-channels").truth == least
    assert percent(1 - kept[least]) in revealed("which-channels").sentence


def test_a_lesson_is_a_choice_without_fields():
    assert all(not dataclasses.fields(LESSONS[name]) for name in NAMES)
