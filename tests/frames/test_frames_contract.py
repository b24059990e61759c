"""Every registered family keeps the promises of a frame."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdqviz import memory
from sdqviz.error import InputError
from sdqviz.frames import FRAMES
from sdqviz.frames.frame import Frame
from sdqviz.frames.given import GivenFrame

ZERO_SUM_ALWAYS = {"roots-of-unity", "platonic", "simplex"}


def mercedes_like(dimension: int, size: int) -> GivenFrame:
    """A given frame of any shape: random rows, made tight."""
    rows = np.random.default_rng(size).standard_normal((size, dimension))
    return GivenFrame.from_array(rows, tighten=True)


def make(name: str, dimension: int, at_least: int):
    """The choice of this family nearest to the wish, or None where the family has none."""
    if name == "given":
        return mercedes_like(dimension, max(at_least, dimension))
    try:
        size = FRAMES[name].admissible_size(dimension, at_least)
    except InputError:
        return None
    return FRAMES[name](dimension=dimension, size=size)


CASES = [
    (name, dimension, at_least)
    for name in sorted(FRAMES)
    for dimension in (1, 2, 3, 4, 8, 13)
    for at_least in (1, dimension + 1, 2 * dimension + 3, 48)
    if make(name, dimension, at_least) is not None
]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}-{case[2]}", scope="module")
def frame(request) -> Frame:
    return make(*request.param).build(seed=3)


def test_every_family_is_registered():
    assert set(FRAMES) == {
        "given",
        "hadamard",
        "half-frequency",
        "harmonic",
        "platonic",
        "random",
        "roots-of-unity",
        "simplex",
        "spectral-tetris",
    }
    assert {case[0] for case in CASES} == set(FRAMES)


def test_admissible_size_is_admissible_and_not_below_the_wish():
    for name, dimension, at_least in CASES:
        choice = make(name, dimension, at_least)
        assert choice.size >= at_least or name == "simplex"
        if name != "given":
            # it is the smallest: everything between the wish and it is refused
            for smaller in range(max(at_least, 1), choice.size):
                with pytest.raises(InputError):
                    FRAMES[name](dimension=dimension, size=smaller)


def test_adjoint_passes_the_dot_test(frame):
    random = np.random.default_rng(0)
    x, c = random.standard_normal(frame.dimension), random.standard_normal(frame.size)
    left, right = frame.analyze(x) @ c, x @ frame.adjoint(c)
    assert abs(left - right) <= 1e-12 * np.linalg.norm(frame.analyze(x)) * np.linalg.norm(c)


def test_transforms_agree_with_the_vectors(frame):
    random = np.random.default_rng(1)
    x, c = random.standard_normal((3, frame.dimension)), random.standard_normal((3, frame.size))
    assert np.allclose(frame.analyze(x), x @ frame.vectors.T, rtol=0, atol=1e-12 * np.linalg.norm(x))
    assert np.allclose(frame.adjoint(c), c @ frame.vectors, rtol=0, atol=1e-12 * np.linalg.norm(c) * frame.size**0.5)
    assert np.allclose(frame.analyze(np.eye(frame.dimension)).T, frame.vectors, rtol=0, atol=1e-13)
    some = random.integers(0, frame.size, 7)
    assert np.array_equal(frame.operator.rows(some), frame.vectors[some])


def test_unit_norm_and_tight(frame):
    assert frame.norm_deviation <= 1e-12
    assert frame.tightness <= 1e-10
    assert frame.bounds == (frame.size / frame.dimension,) * 2
    # the same from the vectors, without the frame's own code
    values = np.linalg.svd(frame.vectors, compute_uv=False) ** 2
    assert values == pytest.approx(np.full(frame.dimension, frame.size / frame.dimension), rel=1e-10)


def test_frame_bounds_hold_and_synthesis_inverts_analysis(frame):
    x = np.random.default_rng(2).standard_normal((4, frame.dimension))
    coefficients = frame.analyze(x)
    low, high = frame.bounds
    energy, square = (coefficients**2).sum(axis=1), (x**2).sum(axis=1)
    assert (energy >= low * square * (1 - 1e-9)).all()
    assert (energy <= high * square * (1 + 1e-9)).all()
    assert np.abs(frame.synthesize(coefficients) - x).max() <= 1e-9


def test_shapes_follow_the_leading_axes(frame):
    x = np.random.default_rng(4).standard_normal((2, 3, frame.dimension))
    coefficients = frame.analyze(x)
    assert coefficients.shape == (2, 3, frame.size)
    assert frame.adjoint(coefficients).shape == x.shape
    assert np.allclose(frame.analyze(x[1, 2]), coefficients[1, 2], rtol=0, atol=1e-13)
    with pytest.raises(InputError, match=f"length {frame.dimension}"):
        frame.analyze(np.zeros(frame.dimension + 1))


def test_transforms_leave_their_input_alone(frame):
    random = np.random.default_rng(5)
    x, c = random.standard_normal((2, frame.dimension)), random.standard_normal((2, frame.size))
    x_before, c_before = x.copy(), c.copy()
    frame.analyze(x)
    frame.adjoint(c)
    assert np.array_equal(x, x_before)
    assert np.array_equal(c, c_before)


@pytest.mark.parametrize(("name", "dimension", "at_least"), CASES[:: max(1, len(CASES) // 40)])
def test_same_seed_same_frame(name, dimension, at_least):
    choice = make(name, dimension, at_least)
    assert np.array_equal(choice.build(seed=7).vectors, choice.build(seed=7).vectors)


@pytest.mark.parametrize("name", ["random", "hadamard"])
def test_another_seed_gives_another_frame(name):
    choice = FRAMES[name](dimension=8, size=32)
    assert not np.array_equal(choice.build(seed=0).vectors, choice.build(seed=1).vectors)


@pytest.mark.parametrize("name", sorted(FRAMES))
def test_zero_sum_as_claimed(name):
    for case in (case for case in CASES if case[0] == name):
        frame = make(*case).build(seed=0)
        total = np.linalg.norm(frame.vectors.sum(axis=0))
        assert frame.zero_sum == (total <= 1e-9)
        if name in ZERO_SUM_ALWAYS:
            assert frame.zero_sum
        if name == "harmonic":
            assert frame.zero_sum == (frame.dimension % 2 == 0)
        if name == "half-frequency":
            assert not frame.zero_sum


@pytest.mark.parametrize("name", sorted(FRAMES))
def test_choice_survives_json(name):
    choice = FRAMES[name]()
    again = FRAMES.from_dict(json.loads(json.dumps(choice.to_dict())))
    assert again == choice
    assert hash(again) == hash(choice)


@pytest.mark.parametrize("name", sorted(FRAMES))
def test_numbers_outside_their_range_are_refused_in_one_sentence(name):
    cls = FRAMES[name]
    for field, spec in cls.specs().items():
        if spec.minimum is None:
            continue
        for bad in (spec.minimum - 1, spec.maximum + 1, 2.5, float("nan"), float("inf"), "many", None, True):
            with pytest.raises(InputError, match=f"^{field} must be ") as error:
                cls(**{field: bad})
            assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "fields", "sentence"),
    [
        ("harmonic", {"dimension": 256, "size": 256}, "size must be at least 257 for dimension 256, got 256: an even-"),
        ("harmonic", {"dimension": 5, "size": 4}, "size must be at least 5 for dimension 5, got 4"),
        ("half-frequency", {"dimension": 7}, "dimension must be even for a half-frequency harmonic frame, got 7"),
        ("half-frequency", {"dimension": 8, "size": 7}, "size must be at least 8 for dimension 8, got 7"),
        ("roots-of-unity", {"dimension": 3}, "dimension must be 2, got 3"),
        ("roots-of-unity", {"size": 2}, "size must be at least 3, got 2"),
        ("platonic", {"size": 7}, "size must be one of 4, 6, 8, 12, 20, got 7"),
        ("simplex", {"dimension": 4, "size": 6}, "size must be 5 for dimension 4, got 6"),
        ("hadamard", {"dimension": 8, "size": 12}, "size must be a power of two, at least 8 for dimension 8, got 12"),
        ("hadamard", {"dimension": 9, "size": 8}, "size must be a power of two, at least 16 for dimension 9, got 8"),
        ("random", {"dimension": 9, "size": 8}, "size must be at least 9 for dimension 9, got 8"),
        ("spectral-tetris", {"dimension": 5, "size": 9}, "size must be at least 10 for dimension 5, got 9"),
    ],
)
def test_sizes_that_make_no_frame_are_refused(name, fields, sentence):
    with pytest.raises(InputError) as error:
        FRAMES[name](**fields)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize(
    ("name", "dimension", "at_least"),
    [
        ("half-frequency", 3, 1),
        ("roots-of-unity", 3, 1),
        ("platonic", 2, 1),
        ("platonic", 3, 21),
        ("simplex", 4, 6),
        ("given", 4, 5),
    ],
)
def test_admissible_size_refuses_what_the_family_lacks(name, dimension, at_least):
    with pytest.raises(InputError):
        FRAMES[name].admissible_size(dimension, at_least)


@pytest.mark.parametrize("name", ["harmonic", "half-frequency", "hadamard", "spectral-tetris", "random"])
def test_a_huge_frame_is_refused_before_anything_is_allocated(name, monkeypatch):
    choice = FRAMES[name](dimension=1024, size=1 << 22)  # 32 GiB of vectors
    monkeypatch.setattr(memory, "LIMIT", 1 << 30)
    with pytest.raises(InputError, match="must fit in 1 GiB, got 32 GiB"):
        _ = choice.build().vectors


@pytest.mark.parametrize("name", ["harmonic", "half-frequency", "hadamard", "spectral-tetris", "simplex"])
def test_fast_families_run_without_their_matrix(name, monkeypatch):
    cls = FRAMES[name]
    choice = cls(dimension=256, size=cls.admissible_size(256, 257 if name == "simplex" else 600))

    def forbidden(*_):
        raise AssertionError("the frame vectors were formed")

    frame = choice.build()
    monkeypatch.setattr(type(frame.operator), "rows", forbidden)
    x = np.random.default_rng(0).standard_normal((5, 256))
    assert np.abs(frame.synthesize(frame.analyze(x)) - x).max() < 1e-12


@settings(max_examples=150)
@given(
    name=st.sampled_from(sorted(set(FRAMES) - {"given"})),
    dimension=st.integers(1, 40),
    at_least=st.integers(1, 90),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_admissible_frame_is_unit_norm_and_tight(name, dimension, at_least, seed):
    choice = make(name, dimension, at_least)
    if choice is None:
        return
    frame = choice.build(seed)
    random = np.random.default_rng(seed)
    x, c = random.standard_normal(frame.dimension), random.standard_normal(frame.size)
    assert frame.norm_deviation <= 1e-12
    assert frame.tightness <= 1e-10
    assert np.abs(frame.synthesize(frame.analyze(x)) - x).max() <= 1e-9
    assert frame.analyze(x) @ c == pytest.approx(x @ frame.adjoint(c), abs=1e-10)


def test_choices_are_frozen():
    for name in FRAMES:
        with pytest.raises(dataclasses.FrozenInstanceError):
            FRAMES[name]().size = 5
