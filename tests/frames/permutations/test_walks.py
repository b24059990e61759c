"""Nearest neighbour against a plain loop; 2-opt against all moves and against the best of all walks."""

import itertools

import numpy as np
import pytest

from sdqviz.frames import FRAMES
from sdqviz.frames.frame import DenseOperator, Frame
from sdqviz.frames.permutations import two_opt
from sdqviz.frames.permutations.nearest_neighbour import NearestNeighbour
from sdqviz.frames.permutations.two_opt import TwoOpt


def frame_of(vectors) -> Frame:
    return Frame(DenseOperator(vectors), vectors.shape[1], vectors.shape[0], tight=False)


def on_sphere(dimension, size, seed):
    vectors = np.random.default_rng(seed).standard_normal((size, dimension))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def distances(vectors):
    return np.linalg.norm(vectors[:, None] - vectors[None], axis=2)


@pytest.mark.parametrize(("dimension", "size"), [(1, 6), (2, 40), (3, 200), (16, 100), (70, 90)])
def test_nearest_neighbour_equals_a_plain_loop(dimension, size):
    vectors = on_sphere(dimension, size, seed=size)
    far = distances(vectors)
    walk, left = [0], set(range(1, size))
    while left:
        walk.append(min(left, key=lambda n: (far[walk[-1], n], n)))
        left.remove(walk[-1])
    if dimension > 1:  # on the line all distances are 0 or 2: ties, which go to the smaller index
        assert len(np.unique(far.round(13))) > size
    assert NearestNeighbour().order(frame_of(vectors)).tolist() == walk


def test_ties_go_to_the_vector_written_first():
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [-1.0, 0.0], [0.0, 1.0]])
    assert NearestNeighbour().order(frame_of(vectors)).tolist() == [0, 1, 4, 3, 2]


def improving_two_opt_moves(far, walk):
    """Every way of turning a piece of an open walk round that shortens it: the textbook double loop."""
    found, size = [], len(walk)
    for i, j in itertools.combinations(range(size), 2):
        before = after = 0.0
        if i > 0:
            before += far[walk[i - 1], walk[i]]
            after += far[walk[i - 1], walk[j]]
        if j < size - 1:
            before += far[walk[j], walk[j + 1]]
            after += far[walk[i], walk[j + 1]]
        if before - after > 1e-9:
            found.append((i, j))
    return found


def improving_moves_of_a_piece(far, walk):
    """Every way of moving up to three consecutive vectors elsewhere, either way round, that shortens the walk."""
    length = far[walk[:-1], walk[1:]].sum()
    found = []
    for i, count in itertools.product(range(len(walk)), (1, 2, 3)):
        piece, rest = walk[i : i + count], np.delete(walk, slice(i, i + count))
        for place in range(len(rest) + 1):
            for turned in (piece, piece[::-1]):
                other = np.concatenate([rest[:place], turned, rest[place:]])
                if length - far[other[:-1], other[1:]].sum() > 1e-9:
                    found.append((i, count, place))
    return found


@pytest.mark.parametrize(
    ("dimension", "size", "seed"), [(2, 60, 0), (3, 120, 1), (8, 100, 2), (3, 256, 3), (30, 60, 4)]
)
def test_two_opt_ends_where_no_pair_of_steps_can_be_exchanged(dimension, size, seed):
    vectors = on_sphere(dimension, size, seed)
    far, walk = distances(vectors), TwoOpt().order(frame_of(vectors))
    assert improving_two_opt_moves(far, NearestNeighbour().order(frame_of(vectors)))  # there was work to do
    assert improving_two_opt_moves(far, walk) == []


@pytest.mark.parametrize(("dimension", "size", "seed"), [(2, 40, 0), (3, 40, 1), (8, 30, 2), (4, 9, 3)])
def test_two_opt_leaves_no_piece_that_is_better_elsewhere(dimension, size, seed):
    vectors = on_sphere(dimension, size, seed)
    far = distances(vectors)
    assert improving_moves_of_a_piece(far, NearestNeighbour().order(frame_of(vectors)))  # there was work to do
    assert improving_moves_of_a_piece(far, TwoOpt().order(frame_of(vectors))) == []


@pytest.mark.parametrize(("dimension", "size"), [(2, 30), (3, 300), (3, 1000), (8, 500), (64, 300)])
def test_two_opt_is_never_longer_than_its_two_starts(dimension, size):
    for seed in range(4):
        frame = frame_of(on_sphere(dimension, size, seed))
        improved = frame.variation(TwoOpt().order(frame))
        assert improved <= frame.variation(NearestNeighbour().order(frame)) * (1 + 1e-12)
        assert improved <= frame.variation() * (1 + 1e-12)


def test_two_opt_shortens_walks_on_the_sphere_clearly():
    frame = frame_of(on_sphere(3, 1000, 0))
    assert frame.variation(TwoOpt().order(frame)) < 0.92 * frame.variation(NearestNeighbour().order(frame))


def test_two_opt_is_near_the_best_of_all_walks():
    ratios = []
    for seed in range(20):
        vectors = on_sphere(3, 7, seed)
        far, frame = distances(vectors), frame_of(vectors)
        walks = np.array(list(itertools.permutations(range(7))))
        best = far[walks[:, :-1], walks[:, 1:]].sum(axis=1).min()
        ratios.append(frame.variation(TwoOpt().order(frame)) / best)
    assert min(ratios) >= 1 - 1e-12
    assert max(ratios) < 1.15
    assert sum(ratio < 1 + 1e-9 for ratio in ratios) >= 10


def test_two_opt_untangles_shuffled_roots_of_unity():
    vectors = FRAMES["roots-of-unity"](size=101).build().vectors
    shuffled = vectors[np.random.default_rng(0).permutation(101)]
    frame = frame_of(shuffled)
    assert frame.variation(TwoOpt().order(frame)) == pytest.approx(100 * 2 * np.sin(np.pi / 101), rel=1e-12)


def test_lists_of_near_vectors_are_right_however_they_are_cut(monkeypatch):
    vectors = on_sphere(5, 400, 0)
    far = distances(vectors)
    np.fill_diagonal(far, np.inf)
    whole = two_opt.nearest_vectors(vectors, np.inf, None, None)
    assert whole.shape == (400, 65536 // 400)
    assert np.array_equal(whole, np.argsort(far, axis=1, kind="stable")[:, : whole.shape[1]])
    monkeypatch.setattr(two_opt, "BLOCK", 400 * 7)
    assert np.array_equal(two_opt.nearest_vectors(vectors, np.inf, None, None), whole)


def test_cutting_the_search_into_pieces_does_not_change_it(monkeypatch):
    frame = frame_of(on_sphere(4, 300, 0))
    nearest, improved = NearestNeighbour().order(frame), TwoOpt().order(frame)
    monkeypatch.setattr("sdqviz.frames.permutations.nearest_neighbour.PIECE", 1)
    monkeypatch.setattr("sdqviz.frames.permutations.two_opt.PIECE", 300)
    assert np.array_equal(NearestNeighbour().order(frame), nearest)
    again = TwoOpt().order(frame)
    assert np.array_equal(np.sort(again), np.arange(300))
    # a vector whose moves were cut short is looked at again later, so the end may differ a little
    assert frame.variation(again) == pytest.approx(frame.variation(improved), rel=0.05)


def test_the_time_limit_leaves_the_rest_as_written_and_says_so():
    frame = FRAMES["random"](dimension=64, size=3000).build()
    messages = []
    order = NearestNeighbour(seconds=0.01).order(frame, progress=lambda done, total, text: messages.append(text))
    assert np.array_equal(np.sort(order), np.arange(3000))
    assert "time limit of 0.01 s" in messages[-1]
    left = int(messages[-1].split(", ")[1].split(" ")[0])
    assert 0 < left < 3000
    assert (np.diff(order[-left:]) > 0).all()
    assert np.array_equal(order[:-left], NearestNeighbour().order(frame)[:-left])


def test_two_opt_stopped_by_the_clock_returns_the_best_walk_so_far():
    frame = frame_of(on_sphere(3, 20000, 0))
    messages = []
    order = TwoOpt(seconds=0.05).order(frame, progress=lambda done, total, text: messages.append(text))
    assert np.array_equal(np.sort(order), np.arange(20000))
    assert messages[-1].startswith("2-opt: stopped by the time limit of 0.05 s at length")
    assert frame.variation(order) < frame.variation()
