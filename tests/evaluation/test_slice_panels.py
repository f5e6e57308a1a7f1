"""Slices of volumes: those through the centre, on one grey scale for what is compared."""

import numpy as np
import pytest
from skimage.io import imread

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.figures import save_figure
from aeanet_tf.evaluation.slice_panels import centre_slices, slice_panels

VOLUME = np.arange(4 * 6 * 9.0).reshape(4, 6, 9)


def test_slices_go_through_the_centre():
    slices = centre_slices(VOLUME)
    np.testing.assert_array_equal(slices["z"], VOLUME[2])
    np.testing.assert_array_equal(slices["y"], VOLUME[:, 3])
    np.testing.assert_array_equal(slices["x"], VOLUME[:, :, 4])
    with pytest.raises(InputError, match=r"volume: found shape \(6, 9\), expected three spatial axes"):
        centre_slices(VOLUME[0])


def test_every_slice_is_drawn_and_predictions_share_the_scale_of_the_truth(tmp_path):
    gt, low = centre_slices(VOLUME), centre_slices(1000 - VOLUME)
    figure = slice_panels(low, {"a": centre_slices(VOLUME / 2)}, gt, {"a": "r 0.9"}, "title")
    axes = {cell.get_label(): cell for cell in figure.axes}
    assert set(axes) == {f"{axis} {name}" for axis in "zyx" for name in ("input", "a", "truth")}
    shown = {"input": low, "a": centre_slices(VOLUME / 2), "truth": gt}
    for label, cell in axes.items():
        axis, name = label.split()
        np.testing.assert_array_equal(cell.images[0].get_array(), shown[name][axis])
    scales = {name: {axes[f"{axis} {name}"].images[0].get_clim() for axis in "zyx"} for name in shown}
    values = np.concatenate([part.ravel() for part in gt.values()])
    assert scales["a"] == scales["truth"] == {tuple(np.percentile(values, (1, 99.8)))} != scales["input"]
    assert axes["z a"].get_title() == "a\nr 0.9" and axes["z truth"].get_title() == "ground truth"
    shared = slice_panels(low, {"a": gt}, gt, {}, one_scale=True)
    assert {tuple(cell.images[0].get_clim()) for cell in shared.axes} == scales["truth"]
    save_figure(figure, tmp_path / "a.png", dpi=40)
    assert imread(tmp_path / "a.png")[..., :3].std() > 5


def test_slices_of_other_volumes_are_refused():
    gt = centre_slices(VOLUME)
    with pytest.raises(InputError, match=r"a: found a slice in y of shape \(4, 8\), expected the truth's \(4, 9\)"):
        slice_panels(gt, {"a": {**gt, "y": gt["y"][:, 1:]}}, gt, {})
