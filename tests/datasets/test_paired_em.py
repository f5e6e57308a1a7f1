"""The published paired EM images become registered sub-images, and what cannot be registered is left out."""

import csv
import logging
import os
import shutil

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile

from aeanet_tf.datasets import paired_em
from aeanet_tf.datasets.paired_em import find_paired_em, prepare_paired_em, sub_images, whole_images
from aeanet_tf.datasets.pairs import pair_folders
from aeanet_tf.datasets.registration import Registration, RegistrationError
from aeanet_tf.errors import InputError
from tests.datasets.published import EM_ROWS, write_paired_em

HALF = Registration(np.array([[0.5, 0, 20], [0, 0.5, 15], [0, 0, 1]]), 40, 50, 0.1)
SHAPE = (60, 84)


@pytest.fixture(scope="module", params=[(1, 0), pytest.param((2, 1), marks=pytest.mark.slow)], ids=str)
def published(tmp_path_factory, request):
    """A pair, or two and one that shows two scenes, with what prepare made of them."""
    root = tmp_path_factory.mktemp("published")
    pairs, unrelated = request.param
    matrices = write_paired_em(root, pairs, unrelated)
    return root, prepare_paired_em(root, root / "prepared"), matrices


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Three small pairs whose registration is given, and a list of those that were registered."""
    rng, registered = np.random.default_rng(0), []
    for name in "abc":
        for magnification in (10000, 20000):
            image = rng.integers(0, 256, SHAPE).astype(np.uint8)
            imageio.imwrite(tmp_path / f"{name}_{magnification}.bmp", image)

    def register(fixed, moving, scale, seed):
        assert scale == 0.5 and fixed.shape == moving.shape == (50, 84)
        registered.append(seed)
        return HALF

    monkeypatch.setattr(paired_em, "register", register)
    return tmp_path, registered


def lines(output):
    with open(output / "registration.csv", newline="") as file:
        return {line["pair"]: line for line in csv.DictReader(file)}


def test_published_images_are_registered_and_cut(published):
    root, output, matrices = published
    assert output == root / "prepared"
    table = lines(output)
    samples = [name for name in matrices if name.startswith("sample")]
    assert {name: line["status"] for name, line in table.items()} == {
        name: "registered" if name in samples else "failed" for name in matrices
    }
    for name in matrices.keys() - set(samples):
        assert table[name]["reason"] and not table[name]["matrix"]
    corners = np.array([[0, 0, 1], [1279, 0, 1], [0, 943, 1], [1279, 943, 1], [640, 472, 1]]).T
    for name in samples:
        found = np.array(table[name]["matrix"].split(), float).reshape(3, 3) @ corners
        wanted = matrices[name] @ corners
        assert np.hypot(*(found[:2] / found[2] - wanted[:2] / wanted[2])).max() < 0.25, "half a pixel of the high one"
        assert float(table[name]["residual"]) < 0.3 and int(table[name]["inliers"]) >= 20
    for part, columns in (("train", (0, 1, 2)), ("test", (3,))):
        pairs = pair_folders(output / part / "low", output / part / "GT")
        names = {f"{name}_r{r}_c{c}.tif" for name in samples for r in range(3) for c in columns}
        assert {low.name for low, _ in pairs} == {gt.name for _, gt in pairs} == names
        for low, gt in pairs:
            low, gt = tifffile.imread(low), tifffile.imread(gt)
            assert low.dtype == gt.dtype == np.uint8 and low.shape == gt.shape
            assert gt.shape[1] == 320 and gt.shape[0] in (314, 315)
            assert np.corrcoef(low.ravel(), gt.ravel())[0, 1] > 0.9, "the same scene, to noise and sharpness"


def test_sub_images_put_together_give_the_published_image(published):
    root, output, matrices = published
    images = whole_images(output)
    assert [name for name, *_ in images] == [name for name in matrices if name.startswith("sample")]
    _, read, parts = images[0]
    low, gt = read()
    np.testing.assert_array_equal(gt, imageio.imread(root / "sample0_20000.bmp")[:EM_ROWS])
    assert low.shape == gt.shape == (EM_ROWS, 1280) and low.dtype == np.uint8
    assert [label for label, _ in parts] == ["r0_c3", "r1_c3", "r2_c3"]
    for label, area in parts:
        stored = tifffile.imread(output / "test" / "low" / f"sample0_{label}.tif")
        np.testing.assert_array_equal(low[area], stored)
        assert area[1] == slice(960, 1280)
    with pytest.raises(InputError, match=r"registration\.csv: lists no registered pair"):
        whole_images(root)


def test_a_finished_folder_is_used_again(small, caplog):
    root, registered = small
    output = prepare_paired_em(root, root / "out", rows=50)
    assert len(registered) == 3 and len(list(output.rglob("*.tif"))) == 3 * 12 * 2
    times = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    assert prepare_paired_em(root, root / "out", rows=50) == output
    assert len(registered) == 3 and times == {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    # A sub-image is lost, a published image is another one, a pair is gone.
    (output / "train" / "low" / "a_r0_c0.tif").unlink()
    os.utime(root / "b_10000.bmp", ns=(0, 0))
    for magnification in (10000, 20000):
        (root / f"c_{magnification}.bmp").unlink()
    prepare_paired_em(root, root / "out", rows=50)
    assert len(registered) == 5
    assert set(lines(output)) == {"a", "b"} and len(list(output.rglob("*.tif"))) == 2 * 12 * 2
    # Other settings.
    prepare_paired_em(root, root / "out", rows=50, seed=4)
    assert registered[5:] == [4, 4]


def test_an_interrupted_preparation_goes_on(small, monkeypatch):
    root, registered = small
    given = paired_em.register

    def interrupted(*args, **kwargs):
        if len(registered) == 2:
            raise KeyboardInterrupt
        return given(*args, **kwargs)

    monkeypatch.setattr(paired_em, "register", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_paired_em(root, root / "out", rows=50)
    assert set(lines(root / "out")) == {"a", "b"}
    monkeypatch.setattr(paired_em, "register", given)
    prepare_paired_em(root, root / "out", rows=50)
    assert len(registered) == 3 and set(lines(root / "out")) == {"a", "b", "c"}


def test_one_pair_for_self_training(small):
    root, registered = small
    output = prepare_paired_em(root, root / "out", "b", rows=50)
    assert len(registered) == 1 and set(lines(output)) == {"b"}
    assert len(pair_folders(*(sub_images(output, "train", side, "b") for side in ("low", "GT")))) == 9
    prepare_paired_em(root, root / "out", rows=50)
    assert len(registered) == 3, "the others are added to it"
    assert len(pair_folders(*(sub_images(output, "train", side, "b") for side in ("low", "GT")))) == 9
    assert len(pair_folders(*(sub_images(output, "test", side) for side in ("low", "GT")))) == 9
    with pytest.raises(InputError, match=r"pair: 'd' is not in .*, expected one of a, b, c"):
        prepare_paired_em(root, root / "out", "d", rows=50)


def test_pairs_that_cannot_be_registered_are_left_out(small, monkeypatch, caplog):
    root, _ = small
    given, tried = paired_em.register, []

    def sometimes(*args, **kwargs):
        tried.append(0)
        if len(tried) == 2:
            raise RegistrationError("too little in common")
        return given(*args, **kwargs)

    monkeypatch.setattr(paired_em, "register", sometimes)
    with caplog.at_level(logging.WARNING, logger="aeanet_tf"):
        output = prepare_paired_em(root, root / "out", rows=50)
        prepare_paired_em(root, root / "out", rows=50)
    assert len(tried) == 3, "nor is it tried again"
    warnings = [record.message for record in caplog.records]
    assert warnings == ["b: left out, it cannot be registered (too little in common)"] * 2
    assert [name for name, _, _ in whole_images(output)] == ["a", "c"]

    def aside(*args, **kwargs):
        return Registration(HALF.matrix + [[0, 0, 40], [0, 0, 0], [0, 0, 0]], 40, 50, 0.1)

    monkeypatch.setattr(paired_em, "register", aside)
    with pytest.raises(InputError, match=r"none of 3 pairs can be registered, for instance a: a_10000\.bmp covers \d"):
        prepare_paired_em(root, root / "other", rows=50)
    assert not list((root / "other").rglob("*.tif"))


def test_sub_images_are_cut_at_whole_pixels_without_gap_or_overlap(small):
    root, _ = small
    output = prepare_paired_em(root, root / "out", rows=50)
    gt = imageio.imread(root / "a_20000.bmp")[:50]
    rows = []
    for r in range(3):
        parts = ["train", "train", "train", "test"]
        rows.append(
            np.hstack([tifffile.imread(output / part / "GT" / f"a_r{r}_c{c}.tif") for c, part in enumerate(parts)])
        )
    assert [len(row) for row in rows] == [17, 16, 17], "50 / 3 and 100 / 3, rounded"
    np.testing.assert_array_equal(np.vstack(rows), gt)


def test_grey_images_stored_as_colours_are_read_and_others_refused(small):
    root, _ = small
    grey = imageio.imread(root / "a_20000.bmp")
    colours = np.stack([grey] * 3, axis=-1)
    colours[50:, :, 0] = 9
    imageio.imwrite(root / "a_20000.bmp", colours)
    output = prepare_paired_em(root, root / "out", rows=50)
    np.testing.assert_array_equal(tifffile.imread(output / "train" / "GT" / "a_r0_c0.tif"), grey[:17, :21])
    with pytest.raises(InputError, match=r"a_20000\.bmp: a colour image above row 60, expected grey levels"):
        prepare_paired_em(root, root / "other", rows=60)


def test_pairs_are_matched_by_what_stands_before_the_magnification(tmp_path):
    for name in ("10-10000.BMP", "10-20000.bmp", "Au 2 10000.bmp", "Au 2 20000.bmp", "notes.txt", ".10000.bmp"):
        (tmp_path / name).touch()
    assert find_paired_em(tmp_path) == [
        ("10", tmp_path / "10-10000.BMP", tmp_path / "10-20000.bmp"),
        ("Au 2", tmp_path / "Au 2 10000.bmp", tmp_path / "Au 2 20000.bmp"),
    ]
    (tmp_path / "11_20000.bmp").touch()
    with pytest.raises(InputError, match=r"11_20000\.bmp: has no partner of magnification 10000 beside it"):
        find_paired_em(tmp_path)
    (tmp_path / "11_10000.bmp").touch()
    (tmp_path / "10_10000.bmp").touch()
    with pytest.raises(InputError, match=r"10_10000\.bmp: has the same name as .*10-10000\.BMP"):
        find_paired_em(tmp_path)


def test_folders_without_pairs(tmp_path):
    with pytest.raises(InputError, match=r"none: no such folder, expected one of \*10000\.bmp"):
        find_paired_em(tmp_path / "none")
    (tmp_path / "image.bmp").touch()
    with pytest.raises(InputError, match=r"no images \*10000\.bmp and \*20000\.bmp"):
        prepare_paired_em(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_table_of_something_else_is_not_replaced(small):
    root, _ = small
    (root / "out").mkdir()
    (root / "out" / "registration.csv").write_text("x,y\n1,2\n")
    with pytest.raises(InputError, match=r"registration\.csv: found columns .*'x', 'y'.*, expected pair, status"):
        prepare_paired_em(root, root / "out", rows=50)
    shutil.rmtree(root / "out")
