"""Data sets: MNIST is the published one, samples are seeded, and a user's file is checked before it is read."""

import hashlib
import io
import struct
import zipfile

import numpy as np
import pytest

import sdqviz as sq
from sdqviz import asset, memory
from sdqviz.networks.dataset import Dataset, from_npz, mnist


def npz(**arrays) -> io.BytesIO:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    buffer.seek(0)
    return buffer


def test_mnist_is_byte_for_byte_the_published_data():
    published = {
        "train_images": "6bbc9ace898e44ae57da46a324031adb",
        "train_labels": "a25bea736e30d166cdddb491f175f624",
        "test_images": "2646ac647ad5339dbf082846283269ea",
        "test_labels": "27ae3e4e09519cfbb04c329615203637",
    }
    with np.load(asset.path("mnist.npz")) as arrays:
        for name, digest in published.items():
            array = arrays[name]
            header = struct.pack(f">{1 + array.ndim}I", 0x0800 | array.ndim, *array.shape)
            assert hashlib.md5(header + array.tobytes(), usedforsecurity=False).hexdigest() == digest
            assert digest in (asset.folder() / "README.md").read_text(encoding="utf-8")


def test_mnist_shapes_and_scale():
    data = mnist()
    assert data is mnist()
    assert (data.calibration_size, data.test_size) == (60_000, 10_000)
    inputs, labels = data.test(100)
    assert inputs.shape == (100, 1, 28, 28)
    assert inputs.dtype == np.float32
    assert (inputs.min(), inputs.max()) == (0.0, 1.0)
    assert labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert not inputs.flags.writeable


def test_calibration_is_a_seeded_sample_without_replacement():
    inputs = np.arange(50, dtype=np.float32).reshape(50, 1)
    data = Dataset("numbers", inputs, np.arange(50), inputs, np.arange(50))
    first = data.calibration(20, seed=3)
    assert np.array_equal(first, data.calibration(20, seed=3))
    assert len(np.unique(first)) == 20
    assert not np.array_equal(first, data.calibration(20, seed=4))
    assert np.array_equal(np.sort(data.calibration(50, seed=0), axis=0), inputs)
    for count in (0, 51):
        with pytest.raises(sq.InputError, match="calibration count must be from 1 to 50"):
            data.calibration(count, seed=0)


def test_bytes_become_fractions_and_integers_stay():
    pixels = np.array([[0, 51, 255]], np.uint8)
    tokens = np.array([[7, 300, 2]])
    labels = np.zeros(1, int)
    assert np.array_equal(Dataset("p", pixels, labels, pixels, labels).test_inputs, np.float32([[0, 0.2, 1]]))
    read = Dataset("t", tokens, labels, tokens, labels)
    assert read.calibration(1, 0).dtype == np.int64
    assert np.array_equal(read.test_inputs, tokens)


def test_own_images_are_split_without_overlap():
    images = np.arange(10 * 4 * 4, dtype=np.uint8).reshape(10, 4, 4)
    data = from_npz(npz(images=images, labels=np.arange(10)))
    assert data.test_inputs.shape == (8, 1, 4, 4)
    assert data.calibration_labels.tolist() == [0, 5]
    assert sorted([*data.calibration_labels, *data.test_labels]) == list(range(10))
    assert np.array_equal(data.calibration_inputs[1, 0], images[5] / np.float32(255))


def test_own_calibration_images_are_used(tmp_path):
    file = tmp_path / "own.npz"
    pool = np.ones((3, 5), np.float64)
    np.savez(file, images=np.zeros((4, 5)), labels=[0, 1, 2, 3], calibration_images=pool, calibration_labels=[1, 1, 1])
    data = from_npz(file, name="mine")
    assert (data.name, data.test_size, data.calibration_size) == ("mine", 4, 3)
    assert data.calibration_inputs.dtype == np.float32


GOOD = {"images": np.zeros((4, 2, 2), np.uint8), "labels": np.arange(4)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": None}, "data must hold an array 'labels', got images.npy"),
        ({"labels": np.arange(3)}, r"labels must have shape \(4,\)"),
        ({"labels": np.array([0.0, 1, 2, 3])}, "labels must be whole numbers"),
        ({"labels": np.array([-1, 0, 1, 2])}, "labels must be whole numbers"),
        ({"images": np.full((4, 2, 2), np.nan)}, "images must be finite, got 16"),
        ({"images": np.zeros(4)}, r"images must have shape \(n, ...\)"),
        ({"images": np.zeros((4, 0, 2))}, "without empty axes"),
        ({"images": np.zeros((4, 2, 2), complex)}, "array 'images' must be a plain numeric array"),
        ({"images": np.array([{}] * 4)}, "array 'images' must be a plain numeric array"),
        ({"images": np.zeros((1, 2, 2)), "labels": np.zeros(1, int)}, "at least 2 images"),
    ],
)
def test_unusable_own_data_is_refused(change, message):
    arrays = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    with pytest.raises(sq.InputError, match=message):
        from_npz(npz(**arrays))


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 torn"])
def test_other_files_are_refused(content):
    with pytest.raises(sq.InputError, match=r"data must be an .npz archive"):
        from_npz(io.BytesIO(content))


def test_a_damaged_archive_is_refused():
    content = bytearray(
        npz(images=np.random.default_rng(0).integers(0, 255, (40, 9, 9), np.uint8), labels=np.arange(40)).read()
    )
    content[400:440] = bytes(40)
    with pytest.raises(sq.InputError, match=r"must be"):
        from_npz(io.BytesIO(content))


def test_a_huge_array_is_refused_from_its_header_alone():
    header = io.BytesIO()
    count = memory.LIMIT // 28**2
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (count, 28, 28)})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("images.npy", header.getvalue())  # no data follow: reading them would fail differently
    with pytest.raises(sq.InputError, match="array 'images' must fit in"):
        from_npz(buffer)


def test_shapes_of_pool_and_test_must_agree():
    with pytest.raises(sq.InputError, match="calibration_inputs must have the shape of test_inputs"):
        Dataset("x", np.zeros((2, 3)), np.zeros(2, int), np.zeros((2, 4)), np.zeros(2, int))


def test_pool_gives_inputs_with_their_labels():
    data = mnist()
    inputs, labels = data.pool(np.array([7, 3, 7]))
    np.testing.assert_array_equal(inputs, data.calibration_inputs[[7, 3, 7]])
    np.testing.assert_array_equal(labels, data.calibration_labels[[7, 3, 7]])
    assert inputs.dtype == np.float32
