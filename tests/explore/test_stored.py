import json

import numpy as np
import pytest

from sdqviz import asset
from sdqviz.error import InputError
from sdqviz.explore import preset, stored

SLOW_PAGES = {"network"}
"""Pages whose presets run a network over the test images; their own tests recompute them."""


def assert_same(actual, expected, where):
    assert set(actual) == set(expected), where
    for key, value in expected.items():
        if isinstance(value, bool | str):
            assert actual[key] == value, (where, key)
        else:
            np.testing.assert_allclose(actual[key], value, rtol=1e-6, atol=2e-5, err_msg=f"{where} {key}")


def quick(one):
    return one.page not in SLOW_PAGES and one.choices.get("subject") != "network"


@pytest.mark.parametrize("one", [p for p in preset.load() if quick(p)], ids=lambda one: one.name)
def test_stored_result_is_the_recomputed_one(one):
    assert_same(stored.recompute(one), one.result, one.name)


def test_there_are_enough_examples_and_each_says_what_to_look_at():
    shown = [one for one in preset.load() if one.page]
    assert len(shown) >= 8
    assert all(one.title and one.look for one in shown)
    assert len({one.title for one in preset.load()}) == len(preset.load())


def test_a_preset_survives_writing(tmp_path, monkeypatch):
    one = preset.of_page("frames")["icosahedron"]
    (tmp_path / "presets").mkdir()
    monkeypatch.setattr(asset, "folder", lambda: tmp_path)
    preset.write(one)
    assert preset.load() == (one,)
    (tmp_path / "presets" / "broken.json").write_text("{", encoding="utf-8")
    preset.load.cache_clear()
    with pytest.raises(InputError, match=r"asset presets/broken.json must be a preset"):
        preset.load()
    monkeypatch.undo()
    preset.load.cache_clear()
    assert len(preset.load()) > 1


def test_shipped_files_hold_nothing_but_presets():
    for file in (asset.folder() / "presets").glob("*.json"):
        assert set(json.loads(file.read_text(encoding="utf-8"))) == {"page", "title", "look", "choices", "result"}
