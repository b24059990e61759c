"""Choices: what is checked, what is normalised, what survives JSON."""

import dataclasses
import json
import math
from typing import ClassVar

import numpy as np
import pytest

from sdqviz.choice import Choice, PerLayer, Spec, field, field_of
from sdqviz.error import InputError
from sdqviz.explore.curves import SUBJECTS
from sdqviz.frames import FRAMES
from sdqviz.frames.permutations import PERMUTATIONS
from sdqviz.methods import METHODS
from sdqviz.networks.catalogue import NETWORKS


@dataclasses.dataclass(frozen=True)
class Knobs(Choice):
    """One field of every kind."""

    name: ClassVar[str] = "knobs"
    title: ClassVar[str] = "Knobs"

    count: int = field(3, label="Count", help="How many.", minimum=1, maximum=9)
    width: float = field(0.5, label="Width", help="How wide.", minimum=0.0)
    cut: float | None = field(None, label="Cut", help="Where.", maximum=2.0)
    exact: bool = field(True, label="Exact", help="Whether.")
    rule: str = field("a", label="Rule", help="Which.", options=("a", "b"))
    late: str = field("x", label="Late", help="Which, found later.", options=lambda: ["x", "y"], advanced=True)
    bits: PerLayer = field((), label="Bits", help="By layer.", minimum=1, maximum=8)

    def check(self) -> None:
        if self.count == 9 and not self.exact:
            raise InputError("count must be at most 8 when exact is false, got 9")


def test_an_option_has_words_where_they_are_given():
    plain, told = Knobs.specs()["rule"], Spec("Rule", "Which.", options={"a": "the first", "b": "the other"})
    late = dataclasses.replace(told, options=lambda: {"a": "the first"})
    assert told.option_names() == plain.option_names() == ("a", "b") and late.option_names() == ("a",)
    assert [one.words("a") for one in (plain, told, late)] == ["a", "the first", "the first"]
    assert told.words("z") == "z"


EVERY = {
    f"{cls.__name__}.{key}": spec
    for registry in (FRAMES, METHODS, NETWORKS, SUBJECTS, PERMUTATIONS)
    for cls in registry.values()
    for key, spec in cls.specs().items()
    if spec.option_names()
}


@pytest.mark.parametrize("name", EVERY)
def test_boxes_show_different_words_and_no_names_of_the_program(name):
    names = EVERY[name].option_names()
    words = [EVERY[name].words(one) for one in names]
    assert len(set(words)) == len(words) and not set(words) & (set(names) - set(words))
    assert not [one for one, told in zip(names, words, strict=True) if "-" in one and one == told]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"count": 10}, "count must be at most 9, got 10"),
        ({"count": 2.5}, "count must be a whole number, got 2.5"),
        ({"count": "3"}, "count must be a whole number, got '3'"),
        ({"count": True}, "count must be a whole number, got True"),
        ({"count": math.inf}, "count must be finite, got inf"),
        ({"width": -0.1}, "width must be at least 0, got -0.1"),
        ({"width": math.nan}, "width must be finite, got nan"),
        ({"width": None}, "width must be a number, got None"),
        ({"cut": 3.0}, "cut must be at most 2, got 3.0"),
        ({"exact": 1}, "exact must be true or false, got 1"),
        ({"rule": "c"}, "rule must be one of a, b, got 'c'"),
        ({"late": "z"}, "late must be one of x, y, got 'z'"),
        ({"bits": {"fc": 9}}, "bits['fc'] must be at most 8, got 9.0"),
        ({"bits": {"fc": "x"}}, "bits['fc'] must be a number, got 'x'"),
        ({"bits": 4}, "bits must map layer names to numbers, got 4"),
        ({"count": 9, "exact": False}, "count must be at most 8 when exact is false, got 9"),
    ],
)
def test_a_bad_value_is_one_sentence_with_name_need_and_value(values, sentence):
    with pytest.raises(InputError) as caught:
        Knobs(**values)
    assert str(caught.value) == sentence


def test_numbers_are_normalised_to_plain_python():
    knobs = Knobs(count=np.int64(4), width=np.float32(0.25), cut=1)
    assert (type(knobs.count), type(knobs.width), type(knobs.cut)) == (int, float, float)
    assert knobs == Knobs(count=4.0, width=0.25, cut=1.0)


def test_a_choice_is_hashable_whatever_order_the_layers_are_named_in():
    one, two = Knobs(bits={"b": 2, "a": 1}), Knobs(bits={"a": 1, "b": 2})
    assert one == two and len({one, two}) == 1
    assert one.bits == (("a", 1.0), ("b", 2.0))


def test_json_there_and_back():
    knobs = Knobs(count=5, cut=1.5, exact=False, rule="b", bits={"fc": 3})
    values = json.loads(json.dumps(knobs.to_dict()))
    assert values.pop("name") == "knobs"
    assert values["bits"] == {"fc": 3.0}
    assert Knobs.from_dict(values) == knobs


def test_an_unknown_field_is_refused_by_name():
    with pytest.raises(InputError, match=r"knobs has no field 'colour'; its fields are count, width"):
        Knobs.from_dict({"colour": 1})


def test_forms_find_labels_ranges_and_late_options():
    specs = Knobs.specs()
    assert list(specs) == ["count", "width", "cut", "exact", "rule", "late", "bits"]
    assert (specs["count"].minimum, specs["count"].maximum, specs["count"].label) == (1, 9, "Count")
    assert specs["late"].option_names() == ("x", "y") and specs["late"].advanced
    assert specs["count"].option_names() is None
    assert Knobs.defaults()["cut"] is None
    assert Knobs() == Knobs(**Knobs.defaults())


def test_a_choice_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Knobs().count = 4  # type: ignore[misc]


def test_a_field_of_another_choice_has_its_form_and_its_own_default():
    @dataclasses.dataclass(frozen=True)
    class Other(Choice):
        name = "other"
        title = "Other"

        size: int = field(3, label="Size", help="How large.", minimum=1, maximum=9)

    @dataclasses.dataclass(frozen=True)
    class Same(Choice):
        name = "same"
        title = "Same"

        size: int = field_of(Other, "size", 7)

    assert Same().size == 7 and Same.specs()["size"] == Other.specs()["size"]
    with pytest.raises(InputError, match="size must be at most 9, got 10"):
        Same(size=10)
