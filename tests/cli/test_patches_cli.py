"""``aeanet patches`` writes patches and a picture of them, or one line on what is wrong and no file."""

import numpy as np
import pytest
import tifffile
from skimage.io import imread

from aeanet_tf.cli import patches
from aeanet_tf.cli.main import make_parser
from aeanet_tf.datasets.pairs import read_npz
from aeanet_tf.errors import InputError


def run(*arguments):
    patches.run(make_parser().parse_args(["patches", *map(str, arguments)]))


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("low", "GT"):
        (tmp_path / name).mkdir()
        for number in range(3):
            tifffile.imwrite(tmp_path / name / f"{number}.tif", rng.random((24, 32)).astype(np.float32))
    return tmp_path


def arguments(folder, **changes):
    options = {
        "basepath": [folder],
        "source": ["low"],
        "target": ["GT"],
        "axes": ["YX"],
        "patch-size": [8, 16],
        "patches-per-image": [4],
        "output": [folder / "out" / "train.npz"],
        **changes,
    }
    return [word for name, values in options.items() for word in (f"--{name}", *values)]


def test_patches_are_what_training_reads_with_a_picture_beside(folder, capsys):
    run(*arguments(folder))
    (x, y), (x_val, _), axes = read_npz(folder / "out" / "train.npz", 0.25)
    assert x.shape == y.shape == (9, 8, 16, 1) and len(x_val) == 3 and axes == "SYXC"
    picture = imread(folder / "out" / "train.png")
    assert picture.ndim == 3 and picture[..., :3].std() > 10
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["train.npz", "train.png"]
    assert "12 patches" in capsys.readouterr().out


def test_the_seed_repeats_the_file(folder):
    contents = []
    for seed in (1, 1, 2):
        run(*arguments(folder, seed=[seed]))
        contents.append(np.load(folder / "out" / "train.npz")["X"])
    np.testing.assert_array_equal(contents[0], contents[1])
    assert not np.array_equal(contents[0], contents[2])


def test_percentiles_and_filter_reach_csbdeep(folder):
    for number in range(3):
        image = np.zeros((24, 32), np.float32)
        image[:4, :4] = np.arange(16).reshape(4, 4)
        for name in ("low", "GT"):
            tifffile.imwrite(folder / name / f"{number}.tif", image)
    options = {"percentiles": [0, 100], "patches-per-image": [60], "patch-size": [4, 4]}
    run(*arguments(folder, **options))
    with_filter = np.load(folder / "out" / "train.npz")["X"]
    assert with_filter.max() == 1 and with_filter.min() == 0
    run(*arguments(folder, **options), "--no-background-filter")
    without = np.load(folder / "out" / "train.npz")["X"]
    assert (without.max(axis=(1, 2, 3)) > 0).mean() < (with_filter.max(axis=(1, 2, 3)) > 0).mean()
    with pytest.raises(SystemExit):
        run(*arguments(folder), "--no-background-filter", "--threshold", "0.2")


def test_reduce_writes_a_target_of_one_plane(folder):
    for number in range(3):
        tifffile.imwrite(folder / "low" / f"{number}.tif", np.random.default_rng(0).random((5, 24, 32)))
    run(*arguments(folder, axes=["ZYX"], reduce=["z"], **{"patch-size": [0, 8, 8]}))
    (x, y), _, axes = read_npz(folder / "out" / "train.npz", 0)
    assert (x.shape, y.shape, axes) == ((12, 5, 8, 8, 1), (12, 1, 8, 8, 1), "SZYXC")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": ["low", "none"]}, "none: no such folder"),
        ({"pattern": ["*.czi"]}, r"no image matches \*\.czi"),
        ({"axes": ["ZYX"], "patch-size": [4, 8, 8]}, r"0\.tif: shape \(1, 24, 32\) \(ZYX\), smaller"),
        ({"axes": ["YY"]}, "axes: found 'YY'"),
        ({"patch-size": [8]}, "expected 2 sizes for the axes YX"),
        ({"patch-size": [8, 64]}, r"smaller than a patch of \(8, 64\)"),
        ({"patches-per-image": [0]}, "patches per image"),
        ({"percentiles": [50, 50]}, "percentiles"),
        ({"threshold": [2]}, "threshold"),
        ({"output": ["train.npy"]}, r"--output: got train\.npy"),
        ({"reduce": ["Z"]}, "reduce: found 'Z'"),
    ],
)
def test_bad_input_is_one_line_and_no_file(folder, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        run(*arguments(folder, **changes))
    assert "\n" not in str(caught.value)
    assert not (folder / "out").exists()


def test_unpaired_and_unequal_images_are_named(folder):
    (folder / "GT" / "2.tif").unlink()
    with pytest.raises(InputError, match=r"low: 1 of 3 .*: 2\.tif"):
        run(*arguments(folder))
    tifffile.imwrite(folder / "GT" / "2.tif", np.zeros((24, 31), np.float32))
    with pytest.raises(InputError, match=r"GT.2\.tif: shape \(24, 31\).*low.2\.tif has \(24, 32\)"):
        run(*arguments(folder))
    assert not (folder / "out").exists()


def test_every_image_of_a_file_and_endings_in_capitals(folder):
    rng = np.random.default_rng(1)
    for name in ("low", "GT"):
        (folder / name / "0.tif").rename(folder / name / "0.TIF")
        with tifffile.TiffWriter(folder / name / "p.ome.btf", ome=True, bigtiff=True) as tif:
            for _ in range(2):
                tif.write(rng.random((24, 32)).astype(np.float32), metadata={"axes": "YX"})
    with pytest.raises(InputError, match=r"p\.ome\.btf: holds 2 images"):
        run(*arguments(folder))
    run(*arguments(folder, series=["all"]))
    assert len(np.load(folder / "out" / "train.npz")["X"]) == 4 * 5
    (folder / "GT" / "p.ome.btf").write_bytes((folder / "GT" / "0.TIF").read_bytes())
    with pytest.raises(InputError, match=r"GT/p\.ome\.btf: found 1 images in it, expected 2 as .*low/p\.ome\.btf has"):
        run(*arguments(folder, series=["all"]))
