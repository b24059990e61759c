"""Adding a thing is adding a file: dropped into a copy of the program, each is found, has its form, and is tested."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

HEAD = "import dataclasses\nimport numpy as np\nfrom sdqviz.choice import field\n"

KNOB = 'field(3, label="A knob", help="It turns.", minimum=1, maximum=9)'

FILES = {
    "frame": (
        "sdqviz/frames/dropped_frame.py",
        """
        from sdqviz.frames import FRAMES
        from sdqviz.frames.frame import DenseOperator, Frame, FrameChoice

        @FRAMES.register
        @dataclasses.dataclass(frozen=True)
        class DroppedFrame(FrameChoice):
            name, title = "dropped", "A basis twice, with as many vectors as asked for at least"
            knob: int = KNOB

            @classmethod
            def admissible_size(cls, dimension, at_least):
                return dimension * max(2, -(-at_least // dimension))

            def build(self, seed=0):
                if self.size % self.dimension or self.size < 2 * self.dimension:
                    from sdqviz.error import InputError
                    raise InputError(f"size must be a multiple of {self.dimension}, 2 times at least, got {self.size}")
                vectors = np.tile(np.eye(self.dimension), (self.size // self.dimension, 1))
                return Frame(DenseOperator(vectors), self.dimension, self.size, tight=True)
        """,
    ),
    "permutation": (
        "sdqviz/frames/permutations/dropped_order.py",
        """
        from sdqviz.frames.permutations import PERMUTATIONS
        from sdqviz.frames.permutations.permutation import PermutationChoice

        @PERMUTATIONS.register
        @dataclasses.dataclass(frozen=True)
        class DroppedOrder(PermutationChoice):
            name, title = "dropped", "Backwards"
            knob: int = KNOB

            def order(self, frame, seed=0, progress=None, should_stop=None):
                return np.arange(frame.size)[::-1].copy()
        """,
    ),
    "quantizer": (
        "sdqviz/quantizers/dropped_quantizer.py",
        """
        from sdqviz.quantizers import QUANTIZERS
        from sdqviz.quantizers.nearest import Nearest

        @QUANTIZERS.register
        @dataclasses.dataclass(frozen=True)
        class DroppedQuantizer(Nearest):
            name, title = "dropped", "Nearest again"
            knob: int = KNOB
        """,
    ),
    "method": (
        "sdqviz/methods/dropped_method.py",
        """
        from sdqviz.methods import METHODS
        from sdqviz.methods.round_to_nearest import RoundToNearest

        @METHODS.register
        @dataclasses.dataclass(frozen=True)
        class DroppedMethod(RoundToNearest):
            name, title = "dropped", "Rounding again"
            knob: int = KNOB
        """,
    ),
    "network": (
        "sdqviz/networks/catalogue/dropped_network.py",
        """
        from sdqviz.networks.catalogue import NETWORKS
        from sdqviz.networks.catalogue.network_choice import NetworkChoice
        from sdqviz.networks.training import Recipe

        @NETWORKS.register
        @dataclasses.dataclass(frozen=True)
        class DroppedNetwork(NetworkChoice):
            name, title = "dropped", "One layer"
            recipe = Recipe(epochs=1, batch=32, rate=1e-3, decay=0.3)
            knob: int = KNOB

            def layout(self):
                from torch import nn
                return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
        """,
    ),
    "curve": (
        "sdqviz/explore/curves/dropped_curve.py",
        """
        from sdqviz.explore.curves import SUBJECTS
        from sdqviz.explore.curves.vector import UnitVector

        @SUBJECTS.register
        @dataclasses.dataclass(frozen=True)
        class DroppedCurve(UnitVector):
            name, title = "dropped", "Vectors again"
            knob: int = KNOB
        """,
    ),
    "dual": (
        "sdqviz/sigma_delta/duals/dropped_dual.py",
        """
        from sdqviz.sigma_delta.duals import DUALS
        from sdqviz.sigma_delta.duals.canonical import Canonical

        @DUALS.register
        @dataclasses.dataclass(frozen=True)
        class DroppedDual(Canonical):
            name, title = "dropped", "Canonical again"
            knob: int = KNOB
        """,
    ),
    "filter": (
        "sdqviz/sigma_delta/filters/dropped_filter.py",
        """
        from sdqviz.sigma_delta.filters import FILTERS
        from sdqviz.sigma_delta.filters.filter import FilterChoice
        from sdqviz.sigma_delta.taps import difference

        @FILTERS.register
        @dataclasses.dataclass(frozen=True)
        class DroppedFilter(FilterChoice):
            name, title = "dropped", "Differences again"
            knob: int = KNOB

            def shape(self, order, bits):
                return difference(order)
        """,
    ),
    "lesson": (
        "sdqviz/lessons/dropped_lesson.py",
        """
        from sdqviz.lessons import LESSONS
        from sdqviz.lessons.small_step import SmallStep

        @LESSONS.register
        @dataclasses.dataclass(frozen=True)
        class DroppedLesson(SmallStep):
            name, title, place = "dropped", "Once more", 99
        """,
    ),
}
"""By kind: where the file goes, and what is in it."""

FOUND = """
    from sdqviz.explore.curves import SUBJECTS
    from sdqviz.quantizers import QUANTIZERS
    from sdqviz.sigma_delta.filters import FILTERS
    import sdqviz as sq
    registries = {
        "frame": sq.FRAMES, "permutation": sq.PERMUTATIONS, "quantizer": QUANTIZERS, "method": sq.METHODS,
        "network": sq.NETWORKS, "curve": SUBJECTS, "dual": sq.DUALS, "filter": FILTERS,
    }
    for kind, registry in registries.items():
        assert "dropped" in sorted(registry), kind
        choice = registry["dropped"]()
        spec = choice.specs()["knob"]  # what its form is made of
        assert (spec.label, spec.minimum, spec.maximum) == ("A knob", 1, 9), kind
        assert registry.from_dict(choice.to_dict()) == choice, kind
    options = sq.METHODS["frame"].specs()
    for field, kind in (("frame", "frame"), ("permutation", "permutation"), ("dual", "dual"), ("filter", "filter")):
        assert "dropped" in options[field].option_names(), kind
    from sdqviz.lessons import LESSONS
    assert LESSONS["dropped"].title == "Once more"
    import sdqviz
    print("found in", sdqviz.__file__)
"""

PAGES = """
    from streamlit.testing.v1 import AppTest
    from sdqviz.ui import main
    assert main.listed()[-1] == ("dropped.py", "Dropped", "dropped"), main.listed()
    at = AppTest.from_file(main.__file__, default_timeout=60).run()
    at.switch_page(str(main.ROOT / "pages" / "dropped.py")).run()
    assert not at.exception and [one.value for one in at.markdown] == ["here"]
    print("shown")
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The program copied, with one file more of every kind."""
    folder = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("sdqviz", "pages", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("app.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "assets").symlink_to(ROOT / "assets")
    for place, source in FILES.values():
        (folder / place).write_text(HEAD + textwrap.dedent(source).replace("KNOB", KNOB), "utf-8")
    page = '"""Dropped: a page that was not there before."""\n\nimport streamlit as st\n\nst.markdown("here")\n'
    (folder / "pages" / "dropped.py").write_text(page, "utf-8")
    return folder


def run(folder, *command):
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("folder", [*(Path(place).parent for place, _ in FILES.values()), Path("pages")])
def test_the_readme_says_where_the_file_goes(folder):
    place = folder.relative_to("sdqviz") if folder.parts[0] == "sdqviz" else folder
    assert f"`{place.as_posix()}/x.py`" in (ROOT / "README.md").read_text("utf-8")


def test_a_file_is_found_by_its_registry_and_has_its_form(copy):
    assert str(copy) in run(copy, "-c", textwrap.dedent(FOUND))


def test_a_page_is_in_the_menu_and_shown(copy):
    assert "shown" in run(copy, "-W", "ignore", "-c", textwrap.dedent(PAGES))


@pytest.mark.slow
@pytest.mark.parametrize(
    "contract",
    [
        "tests/frames/test_frames_contract.py",
        "tests/frames/permutations/test_permutations_contract.py",
        "tests/quantizers/test_quantizers_contract.py",
        "tests/sigma_delta/duals/test_duals_contract.py",
        "tests/sigma_delta/filters/test_filters_contract.py",
        "tests/lessons/test_lessons_contract.py",
    ],
)
def test_a_file_is_held_to_its_contract(copy, contract):
    """The contract runs over the registry, so the tests of what was dropped exist without being written."""
    told = run(copy, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "-k", "dropped", contract)
    assert " passed" in told
