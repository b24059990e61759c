"""Registries: discovery from a folder, names that cannot clash, and what every registered choice promises."""

import dataclasses
import json
import sys
import textwrap

import pytest

import sdqviz as sq
from sdqviz.choice import Choice
from sdqviz.error import InputError
from sdqviz.registry import Registry, UnknownNameError
from sdqviz.sigma_delta.filters import FILTERS

REGISTRIES = {
    "frame": sq.FRAMES,
    "permutation": sq.PERMUTATIONS,
    "method": sq.METHODS,
    "network": sq.NETWORKS,
    "dual": sq.DUALS,
    "filter": FILTERS,
}
ENTRIES = [(noun, name) for noun, registry in REGISTRIES.items() for name in sorted(registry)]


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder with two entries, importable as a package of its own."""
    folder = tmp_path / "shelf_for_test"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        textwrap.dedent("""
        from sdqviz.registry import Registry
        SHELF = Registry("shelf_for_test", "jar")
        """)
    )
    for name in ("honey", "salt"):
        (folder / f"file_of_{name}.py").write_text(
            textwrap.dedent(f"""
            import dataclasses
            from sdqviz.choice import Choice
            from shelf_for_test import SHELF

            @SHELF.register
            @dataclasses.dataclass(frozen=True)
            class JarOf{name.title()}(Choice):
                name = "{name}"
                title = "{name.title()}"
            """)
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    import shelf_for_test

    yield shelf_for_test.SHELF
    for module in [module for module in sys.modules if module.startswith("shelf_for_test")]:
        del sys.modules[module]


def test_files_are_imported_on_first_use(shelf):
    assert "shelf_for_test.file_of_honey" not in sys.modules
    assert sorted(shelf) == ["honey", "salt"]
    assert "shelf_for_test.file_of_honey" in sys.modules
    assert len(shelf) == 2 and "salt" in shelf
    assert repr(shelf) == "<jar registry: honey, salt>"


def test_an_unknown_name_lists_the_known_ones_and_is_a_key_error(shelf):
    with pytest.raises(InputError) as caught:
        shelf["soap"]
    assert str(caught.value) == "jar must be one of honey, salt, got 'soap'"
    assert isinstance(caught.value, KeyError) and isinstance(caught.value, UnknownNameError)
    assert "soap" not in shelf and shelf.get("soap") is None


def test_a_repeated_name_and_a_repeated_class_name_are_refused():
    registry: Registry[Choice] = Registry("sdqviz.frames", "thing")

    def entry(class_name, name):
        fields = {"name": name, "title": name}
        return dataclasses.dataclass(frozen=True)(type(class_name, (Choice,), fields))

    registry.register(entry("ThingOfTest", "thing"))
    with pytest.raises(ValueError, match="thing name 'thing' is registered twice"):
        registry.register(entry("OtherThingOfTest", "thing"))
    # caches key a choice by its class name: Harmonic here and Harmonic there would share results
    owner = sq.FRAMES["harmonic"].__qualname__
    with pytest.raises(ValueError, match=f"class name '{owner}' is registered twice"):
        registry.register(entry(owner, "another"))


def test_from_dict_needs_a_name():
    with pytest.raises(InputError, match="a frame needs a name, got None"):
        sq.FRAMES.from_dict({"dimension": 4})


@pytest.mark.parametrize("noun", REGISTRIES)
def test_a_registry_is_not_empty(noun):
    assert len(REGISTRIES[noun]) >= 1


@pytest.mark.parametrize(("noun", "name"), ENTRIES)
def test_every_entry_is_a_documented_choice_that_survives_json(noun, name):
    registry = REGISTRIES[noun]
    cls = registry[name]
    assert cls.name == name and cls.title and cls.__doc__
    assert not cls.__doc__.startswith(f"{cls.__name__}("), "the docstring is only the generated signature"
    choice = cls()
    assert hash(choice) == hash(cls())
    assert registry.from_dict(json.loads(json.dumps(choice.to_dict()))) == choice
    for field_name, spec in cls.specs().items():
        assert spec.label and spec.help.endswith("."), f"{name}.{field_name} needs a label and a help sentence"


@pytest.mark.parametrize(("noun", "name"), ENTRIES)
def test_every_range_and_option_list_is_enforced(noun, name):
    cls = REGISTRIES[noun][name]
    for field_name, spec in cls.specs().items():
        bad = []
        if spec.minimum is not None:
            bad.append(spec.minimum - 1)
        if spec.maximum is not None:
            bad.append(spec.maximum + 1)
        if spec.option_names() is not None:
            bad.append("no such name")
        for value in bad:
            layered = isinstance(cls.defaults()[field_name], tuple)
            with pytest.raises(InputError, match=field_name):
                cls(**{field_name: {"layer": value} if layered else value})


@pytest.mark.parametrize("name", sq.__all__)
def test_every_public_name_resolves(name):
    assert getattr(sq, name) is not None
    assert name in dir(sq)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        sq.nonsense  # noqa: B018


def test_further_names_are_known_without_being_listed(shelf):
    class JarOfElsewhere(Choice):
        name = title = "far-pepper"

    shelf.extend("a far jar", lambda name: JarOfElsewhere if name == "far-pepper" else None)
    assert shelf["far-pepper"] is JarOfElsewhere and "far-pepper" in shelf and sorted(shelf) == ["honey", "salt"]
    with pytest.raises(UnknownNameError, match="jar must be one of honey, salt or a far jar, got 'far-mint'"):
        shelf["far-mint"]
