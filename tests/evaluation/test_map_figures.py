"""The figures show the numbers that they are given, on the scales that they state."""

import numpy as np
import pytest
from skimage.io import imread

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.charts import training_figure
from aeanet_tf.evaluation.equivariance import RotatedAttention, Rotation
from aeanet_tf.evaluation.figures import limits, plane, save_figure, shortened
from aeanet_tf.evaluation.map_figures import equivariance_figure, relevance_figure
from aeanet_tf.evaluation.panels import prediction_panels, removal_panels

RNG = np.random.default_rng(0)


def by_label(figure):
    """All axes by their labels, those inside others included."""
    found = {}

    def collect(axes):
        found[axes.get_label()] = axes
        for child in axes.child_axes:
            collect(child)

    for axes in figure.axes:
        collect(axes)
    return found


def shown(axes):
    return np.asarray(axes.images[0].get_array())


def test_relevance_figure():
    images = [RNG.random((32, 40)), RNG.random((16, 16))]
    maps = [RNG.normal(size=(9, 8, 10)), 2 + RNG.normal(size=(9, 4, 4))]
    figure = relevance_figure(images, maps, [1, 7], ["a.tif", "b.tif"], "title")
    axes = by_label(figure)
    for row in range(2):
        np.testing.assert_array_equal(shown(axes[f"image {row}"]), images[row])
        assert axes[f"image {row}"].get_ylabel() == "ab"[row] + ".tif"
        for reference in (1, 7):
            cell = axes[f"map {row} {reference}"]
            np.testing.assert_array_equal(shown(cell), maps[row][reference])
            # A column has one scale.
            expected = np.percentile(np.concatenate([m[reference].ravel() for m in maps]), (0.1, 99.9))
            np.testing.assert_allclose(cell.images[0].get_clim(), expected)
    assert axes["map 0 7"].get_title() == "reference 8"


def test_planes_of_volumes():
    volume, maps = RNG.random((6, 8, 8)), RNG.random((3, 5, 4, 4))
    axes = by_label(relevance_figure([volume], [maps], [2], ["a"]))
    np.testing.assert_array_equal(shown(axes["image 0"]), volume[3])
    np.testing.assert_array_equal(shown(axes["map 0 2"]), maps[2, 2])
    with pytest.raises(InputError, match=r"shape \(3,\), expected two or three"):
        plane(np.zeros(3))


def test_equivariance_figure():
    raw = {name: RNG.normal(size=(6, 8, 3)) for name in ("query", "attention")}
    rotations = {name: Rotation(one, np.rot90(one + 0.1)) for name, one in raw.items()}
    image = RNG.random((24, 32, 1))
    found = RotatedAttention(Rotation(image, np.rot90(image)), **rotations)
    axes = by_label(equivariance_figure(found, (0, 2), "title"))
    np.testing.assert_array_equal(shown(axes["input rotated"]), np.rot90(image[..., 0]))
    for name in ("query", "attention"):
        for channel in (0, 2):
            cells = [axes[f"{name} {channel} {part}"] for part in ("raw", "rotated", "difference")]
            np.testing.assert_array_equal(shown(cells[0]), raw[name][..., channel])
            np.testing.assert_array_equal(shown(cells[1]), rotations[name].rotated[..., channel])
            np.testing.assert_allclose(shown(cells[2]), 0.1)
            low, high = cells[0].images[0].get_clim()
            assert cells[1].images[0].get_clim() == (low, high)
            # Differences are drawn on a scale of the same width.
            np.testing.assert_allclose(cells[2].images[0].get_clim(), (-(high - low) / 2, (high - low) / 2))
        heights = [patch.get_height() for patch in axes[f"distribution {name}"].patches[:80]]
        low, high = limits(rotations[name], 0.1, 99.9)
        expected, _ = np.histogram(raw[name], np.linspace(low, high, 81), density=True)
        np.testing.assert_allclose(heights, expected)


def test_what_was_taken_away_is_shown_where_there_is_no_truth():
    low = RNG.random((40, 50))
    predictions = {"last weights": low - 0.25, "best weights": low + 0.5}
    axes = by_label(removal_panels(low, predictions))
    for name, image in {"input": low, **predictions}.items():
        np.testing.assert_array_equal(shown(axes[name]), image)
        assert axes[name].images[0].get_clim() == limits([predictions["best weights"]])
    np.testing.assert_allclose(shown(axes["removed last weights"]), 0.25)
    np.testing.assert_allclose(shown(axes["removed best weights"]), -0.5)
    assert axes["removed last weights"].images[0].get_clim() == pytest.approx((-0.5, 0.5))
    assert not any("truth" in name for name in axes)


def test_prediction_panels():
    gt = RNG.random((40, 50))
    gt[25:30, 5:10] *= 50
    low, predictions = 100 + RNG.random(gt.shape), {"U-Net": gt + 0.5, "AEANet": gt - 0.25}
    scores = {"AEANet": {"psnr": 30.123, "ssim": 0.9}, "input": {"psnr": 20.0}}
    axes = by_label(prediction_panels(low, predictions, gt, scores))
    for name, image in {"input": low, "truth": gt, **predictions}.items():
        np.testing.assert_array_equal(shown(axes[name]), image)
        # The bright square is inside the enlarged area, a fifth of each side.
        corner = axes[name].patches[0].get_xy()
        x, y = (round(v + 0.5) for v in corner)
        assert shown(axes[f"zoom {name}"]).shape == (8, 10)
        np.testing.assert_array_equal(shown(axes[f"zoom {name}"]), image[y : y + 8, x : x + 10])
        assert y <= 25 and y + 8 >= 30 and x <= 5 and x + 10 >= 10
    assert axes["AEANet"].get_title() == "AEANet\nPSNR 30.12 dB, SSIM 0.900"
    assert axes["input"].get_title() == "input\nPSNR 20.00 dB"
    np.testing.assert_allclose(shown(axes["error U-Net"]), 0.5)
    np.testing.assert_allclose(shown(axes["error AEANet"]), 0.25)
    ranges = {name: cell.images[0].get_clim() for name, cell in axes.items() if cell.images}
    assert ranges["error U-Net"] == ranges["error AEANet"] == pytest.approx((0, 0.5))
    assert ranges["U-Net"] == ranges["AEANet"] == ranges["truth"] != ranges["input"]
    shared = by_label(prediction_panels(low, predictions, gt, one_scale=True))
    assert shared["input"].images[0].get_clim() == shared["zoom input"].images[0].get_clim() == ranges["truth"]


def test_panels_that_do_not_fit():
    gt = RNG.random((40, 50))
    with pytest.raises(InputError, match=r"a: found shape \(40, 49\), expected the ground truth's \(40, 50\)"):
        prediction_panels(gt, {"a": gt[:, 1:]}, gt)
    with pytest.raises(InputError, match="predictions: found none"):
        prediction_panels(gt, {}, gt)


def _rows(losses, **more):
    return [{"epoch": i, "loss": loss, **more} for i, loss in enumerate(losses)]


def test_training_figure():
    runs = {"one": [_rows([4.0, 2.0, 1.0], val_loss=3.0)], "two": [_rows([8, 4]), _rows([6, 2, 1]), _rows([1, 3, 5])]}
    axes = by_label(training_figure(runs, {"one": 100, "two": 50}))
    one, two = axes["loss"].get_lines()
    np.testing.assert_array_equal(one.get_xydata(), [(100, 4), (200, 2), (300, 1)])
    # Median of the seeds that have come that far.
    np.testing.assert_array_equal(two.get_xydata(), [(50, 6), (100, 3), (150, 3)])
    band = axes["loss"].collections[0].get_paths()[0].vertices
    assert {(50, 1), (50, 8), (150, 1), (150, 5)} <= {tuple(point) for point in band}
    assert [text.get_text() for text in axes["loss"].get_legend().get_texts()] == ["one", "two (3 runs)"]
    (validation,) = axes["val_loss"].get_lines()
    np.testing.assert_array_equal(validation.get_ydata(), [3, 3, 3])
    assert axes["loss"].get_xlabel() == "step" and axes["loss"].get_yscale() == "log"


@pytest.mark.filterwarnings("error")
def test_training_figures_of_odd_runs():
    axes = by_label(training_figure({"one": [_rows([1.0, np.nan, -1.0])]}, {"one": 5}))
    assert axes["loss"].get_yscale() == "linear"
    np.testing.assert_array_equal(axes["loss"].get_lines()[0].get_xdata(), [5, 15])
    assert axes["val_loss"].texts[0].get_text() == "not measured"
    with pytest.raises(InputError, match="'a' has a history without rows"):
        training_figure({"a": [[]]}, {"a": 5})


@pytest.mark.filterwarnings("error")
def test_constant_values_are_drawn_and_written_whole(tmp_path, monkeypatch):
    flat = Rotation(np.ones((4, 4, 2)), np.ones((4, 4, 2)))
    figures = {
        "relevance": relevance_figure([np.zeros((8, 8))], [np.zeros((2, 2, 2))], [0, 1], ["a"]),
        "equivariance": equivariance_figure(RotatedAttention(flat, flat, flat)),
        "panels": prediction_panels(np.zeros((20, 20)), {"a": np.zeros((20, 20))}, np.zeros((20, 20))),
        "curves": training_figure({"a": [_rows([1.0])]}, {"a": 1}),
    }
    for name, figure in figures.items():
        save_figure(figure, tmp_path / "new" / f"{name}.png", dpi=40)
        picture = imread(tmp_path / "new" / f"{name}.png")
        width, height = figure.get_size_inches()
        assert picture.shape[:2] == (int(40 * height), int(40 * width)) and picture[..., :3].std() > 5
    assert sorted(path.stem for path in (tmp_path / "new").iterdir()) == sorted(figures)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", _full)
    with pytest.raises(InputError, match=r"a\.png: cannot be written \(No space"):
        save_figure(figures["curves"], tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def _full(*args, **kwargs):
    raise OSError(28, "No space left on device")


def test_long_names_keep_their_ends():
    assert shortened("short.tif", 9) == "short.tif"
    found = shortened("a_very_long_name_of_an_image_001.tif", 26)
    assert len(found) <= 26 and found.startswith("a_very") and found.endswith("001.tif")
