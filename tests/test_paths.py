"""Names are names: what exists is found by exactly its name, and only what does not exist can be a pattern."""

import os
from pathlib import Path

import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.paths import check_name, check_path, is_file_name, is_pattern, matching_paths, named_path, partial_path


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (
        "plate [1]/a.tif",
        "plate [1]/b.tif",
        "plate 1/c.tif",
        "x/*/d.tif",
        "x/y/e.tif",
        "x/[e].tif",
        "~/f.tif",
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("plate [1]/a.tif", ["plate [1]/a.tif"]),
        ("plate [1]/*.tif", ["plate [1]/a.tif", "plate [1]/b.tif"]),
        ("plate [1]/[ab].tif", ["plate [1]/a.tif", "plate [1]/b.tif"]),
        ("plate ?/*.tif", ["plate 1/c.tif"]),
        ("plate*/*.tif", ["plate 1/c.tif", "plate [1]/a.tif", "plate [1]/b.tif"]),
        ("x/*/*.tif", ["x/*/d.tif"]),
        ("x/?/*.tif", ["x/*/d.tif", "x/y/e.tif"]),
        ("?/[e].tif", ["x/[e].tif"]),
        ("plate [1]/**/*.tif", ["plate [1]/a.tif", "plate [1]/b.tif"]),
        ("**/d.tif", ["x/*/d.tif"]),
        ("plate [2]/*.tif", []),
        ("none.tif", []),
    ],
)  # fmt: skip
def test_parts_that_exist_are_taken_literally(here, pattern, found):
    assert [str(path) for path in matching_paths(pattern)] == found
    assert [str(path.relative_to(here)) for path in matching_paths(here / pattern)] == found


def test_what_is_a_pattern(here):
    assert not is_pattern("plate [1]") and not is_pattern("plate [1]/none.tif") and not is_pattern("x/*")
    assert is_pattern("plate [2]/a.tif") and is_pattern("plate [1]/*.tif") and is_pattern("x/**")


def test_a_folder_called_tilde_and_users_that_do_not_exist(here, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert named_path("~/f.tif") == Path("~/f.tif")
    assert named_path("~/g.tif") == Path("/home/somebody/g.tif")
    assert named_path("~nosuchuser/a.tif") == Path("~nosuchuser/a.tif")


@pytest.mark.parametrize("name", ["a\0b", "x" * 256, "ä" * 128, "d/" * 2048 + "a", "\ud800", "ok/" + "y" * 300 + "/z"])
def test_names_that_no_file_can_have(name):
    for check in (named_path, check_path):
        with pytest.raises(InputError) as caught:
            check(name)
        assert "\n" not in str(caught.value) and len(str(caught.value)) <= 1000
    with pytest.raises(InputError, match=r"^model\.name: found"):
        check_name(name, "model.name")


def test_names_inside_a_folder():
    for name in ("m", "2024", "a b", "plate [1]", "ä😀", "-m", "..m", "a/b", "~m", "a\nb", "m" * 255):
        assert check_name(name, "model.name") == name
    for name in ("../evil", "/tmp/evil", "a/../../b", "..", ".", "", "a/.."):
        with pytest.raises(InputError, match=r"^model\.name: found"):
            check_name(name, "model.name")


def test_names_of_files_alone():
    for name, expected in (("a.h5", True), ("a b", True), ("a/b", False), ("..", False), ("", False), (5, False)):
        assert is_file_name(name) == expected


def test_temporary_names_fit_and_end_as_the_file_does():
    long = "i" * 246 + ".ome.tif"
    for name, suffix in (
        (long, ".ome.tif"),
        ("i" * 248 + ".nii.gz", ".nii.gz"),
        ("i" * 255, ""),
        ("v1." + "i" * 252, ""),
    ):
        partial = partial_path(Path("out") / name, tag="0123456789ab")
        assert partial.parent == Path("out") and partial.name.startswith(".partial-0123456789ab-")
        assert len(os.fsencode(partial.name)) <= 255 and partial.name.endswith(suffix)
    assert partial_path("out/a.tif", "t").name == ".partial-t-a.tif" and partial_path("a.tif").name == ".partial-a.tif"
    assert partial_path("out/" + long) != partial_path("out/j" + long[1:])
