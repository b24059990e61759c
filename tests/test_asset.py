"""Shipped files: found, complete, and refused when missing or damaged."""

import shutil
from pathlib import Path

import pytest

import sdqviz as sq
from sdqviz import asset
from sdqviz.networks.dataset import mnist


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the assets folder that a test may damage; sdqviz reads it instead of its own."""
    mnist()  # loaded once per process, from the real folder
    (tmp_path / "assets" / "networks").mkdir(parents=True)
    for name in ("manifest.json", "networks/mnist-fnn-seed0.safetensors"):
        shutil.copy(asset.folder() / name, tmp_path / "assets" / name)
    monkeypatch.setattr(asset, "ROOT", tmp_path)
    return tmp_path / "assets"


def test_every_data_file_is_listed_and_right():
    listed = asset.verify()
    assert {name: problem for name, problem in listed.items() if problem} == {}
    present = {
        file.relative_to(asset.folder()).as_posix()
        for file in asset.folder().rglob("*")
        if file.suffix in asset.HASHED_KINDS
    }
    assert present <= set(listed)
    shipped = {(name, seed) for name in sq.NETWORKS for seed in sq.NETWORKS[name].shipped_seeds}
    assert {f"networks/{name}-seed{seed}.safetensors" for name, seed in shipped} <= present
    assert {(name, 0) for name in sq.NETWORKS} <= shipped


def test_a_copied_asset_loads(copied):
    assert asset.path("networks/mnist-fnn-seed0.safetensors").parent.parent == copied
    assert sq.NETWORKS["mnist-fnn"](seed=0).load().parameter_count == 268_800


def test_one_changed_byte_is_refused(copied):
    file = copied / "networks" / "mnist-fnn-seed0.safetensors"
    asset.path("networks/mnist-fnn-seed0.safetensors")  # good so far, and remembered as good
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(sq.InputError, match=r"asset networks/mnist-fnn-seed0.safetensors must have SHA-256 .*, got"):
        sq.NETWORKS["mnist-fnn"](seed=0).load()
    assert asset.verify()["networks/mnist-fnn-seed0.safetensors"] is not None


def test_a_missing_file_is_refused(copied):
    (copied / "networks" / "mnist-fnn-seed0.safetensors").unlink()
    with pytest.raises(sq.InputError, match=r"asset networks/mnist-fnn-seed0.safetensors must be in .*no such file"):
        sq.NETWORKS["mnist-fnn"](seed=0).load()


@pytest.mark.parametrize("content", [None, b"{", b"[]"])
def test_an_unusable_manifest_is_refused(copied, content):
    (copied / "manifest.json").unlink()
    if content is not None:
        (copied / "manifest.json").write_bytes(content)
    with pytest.raises(sq.InputError, match=r"asset manifest.json must be"):
        asset.path("networks/mnist-fnn-seed0.safetensors")


def test_the_manifest_is_what_hashing_anew_gives(copied):
    before = asset.manifest()
    asset.write_manifest()
    assert asset.manifest() == {"networks/mnist-fnn-seed0.safetensors": before["networks/mnist-fnn-seed0.safetensors"]}


def test_an_unlisted_file_only_has_to_exist(copied):
    (copied / "note.md").write_text("a text")
    assert asset.path("note.md").read_text() == "a text"
