"""Predicted against true errors: of distributions that are known to be right, or known to be wrong."""

import csv

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.calibration import LEVELS, Calibration
from aeanet_tf.evaluation.calibration_chart import calibration_chart
from aeanet_tf.evaluation.folders import calibration_of_folders
from aeanet_tf.evaluation.protocols import get_protocol
from aeanet_tf.io.tiff import write_image

COUNT = 200000


def drawn(believed=1.0, seed=0):
    """Truth, mean and scale of pixels whose errors differ, with scales that are ``believed`` times what is true."""
    rng = np.random.default_rng(seed)
    mean, scale = rng.normal(100, 50, COUNT), rng.uniform(0.2, 6, COUNT)
    return rng.laplace(mean, scale), mean, believed * scale


def calibration(*parts):
    found = Calibration()
    found.add(*parts)
    return found


def test_right_scales_are_found_right():
    found = calibration(*drawn())
    assert found.pixels == COUNT and found.factor() == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(found.coverage(), LEVELS, atol=5e-3)
    assert found.expected_error() < 3e-3
    for one in found.errors():
        assert one.true == pytest.approx(one.predicted, rel=0.06)


@pytest.mark.parametrize("believed", [0.4, 3.0])
def test_the_factor_undoes_what_scales_are_too_small_or_too_large_by(believed):
    found = calibration(*drawn(believed))
    assert found.factor() == pytest.approx(1 / believed, rel=0.02)
    assert found.expected_error() > 0.15 and found.expected_error(found.factor()) < 4e-3
    total = found.total()
    assert total.predicted == pytest.approx(believed * total.true, rel=0.01)


def test_the_factor_is_that_of_the_best_intervals():
    """Of errors that are not Laplacian, against all factors one by one, counted pixel by pixel."""
    rng = np.random.default_rng(0)
    error, scale = rng.normal(0, 1, 20000), np.full(20000, 0.5)

    def expected_error(factor):
        inside = [(abs(error) < -np.log(1 - p) * factor * scale).mean() for p in LEVELS]
        return np.mean(abs(np.array(inside) - LEVELS))

    least = min(map(expected_error, np.arange(0.5, 4, 0.01)))
    found = calibration(error, np.zeros(20000), scale)
    assert expected_error(found.factor()) < least + 5e-4
    # That of the largest likelihood is worse.
    assert expected_error(np.mean(abs(error) / scale)) > least + 5e-3
    assert found.expected_error(found.factor()) == pytest.approx(least, abs=1e-3)


def test_coverage_is_the_share_of_true_values_in_the_intervals():
    truth, mean, scale = drawn(0.7)
    truth += 3
    found, inside = calibration(truth, mean, scale), abs(truth - mean) < -np.log(1 - 0.8) * scale
    assert found.coverage([0.8])[0] == pytest.approx(inside.mean(), abs=2e-4)
    wider = abs(truth - mean) < -np.log(1 - 0.8) * 1.7 * scale
    assert found.coverage([0.8], 1.7)[0] == pytest.approx(wider.mean(), abs=2e-4)


def test_bins_hold_all_pixels_in_order_of_their_scale():
    truth, mean, scale = drawn(2.0)
    bins = calibration(truth, mean, scale).errors(10)
    assert sum(one.pixels for one in bins) == COUNT and 5 < len(bins) <= 10
    assert [one.predicted for one in bins] == sorted(one.predicted for one in bins)
    order, start = np.argsort(scale), 0
    for one in bins:
        # Those with the smallest scales, the next, and so on.
        part = order[start : start + one.pixels]
        assert one.predicted == pytest.approx(scale[part].mean()) and one.true == pytest.approx(
            abs(truth - mean)[part].mean()
        )
        start += one.pixels


def test_images_add_up_in_any_unit_of_each():
    parts = drawn(0.5)
    found = Calibration()
    found.add(*(part[:1000].reshape(10, 100) for part in parts))
    found.add(*(1e4 * part[1000:] for part in parts))
    whole = calibration(*parts)
    assert found.pixels == COUNT and found.factor() == pytest.approx(whole.factor(), rel=0.02)
    np.testing.assert_allclose(found.coverage(), whole.coverage(), atol=1e-4)


def test_what_is_no_scale_is_refused():
    with pytest.raises(InputError, match="scale: found 0, expected numbers above 0"):
        calibration(np.zeros(3), np.ones(3), np.array([1.0, 0.0, 1.0]))
    with pytest.raises(InputError, match=r"found the shapes \(3,\), \(3,\) and \(2,\)"):
        calibration(np.zeros(3), np.ones(3), np.ones(2))
    with pytest.raises(InputError, match="calibration: found no errors"):
        calibration(np.ones(3), np.ones(3), np.ones(3)).factor()


def test_the_chart_shows_the_bins_and_the_coverage(tmp_path):
    found = calibration(*drawn(0.5))
    figure = calibration_chart({"too sure": found}, "counts")
    axes = {one.get_label(): one for one in figure.axes}
    lines = {name: {line.get_label(): line for line in axes[name].lines} for name in ("error", "interval")}
    drawn_bins = lines["error"]["too sure"]
    assert drawn_bins.get_xdata().tolist() == [one.predicted for one in found.errors()]
    assert (drawn_bins.get_ydata() > 1.8 * drawn_bins.get_xdata()).all()
    (label,) = [label for label in lines["interval"] if label.startswith("too sure")]
    assert label == f"too sure\nexpected calibration error {found.expected_error():.3f}"
    assert lines["interval"][label].get_ydata()[1:-1] == pytest.approx(found.coverage())
    assert axes["pixels"].get_xlabel() == "predicted error: scale (counts)"
    found.write(tmp_path / "c.csv")
    with open(tmp_path / "c.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["found"]) for row in rows[-len(LEVELS) :]] == pytest.approx(found.coverage())
    assert sum(int(row["pixels"]) for row in rows[: -len(LEVELS)]) == COUNT


def write_predictions(folder, gain=1.0, offset=0.0):
    """Two images of known calibration, with what else is written beside predictions; intensities are fitted to."""
    for number, name in enumerate("ab"):
        rng = np.random.default_rng(number)
        truth = rng.gamma(2, 50, (60, 70))
        scale = rng.uniform(1, 4, truth.shape)
        mean = truth + rng.laplace(0, scale)
        write_image(folder / "GT" / f"{name}.tif", truth.astype("float32"), "YX")
        for end, values in (("", gain * mean + offset), ("_scale", gain * scale / 2), ("_lower", mean)):
            write_image(folder / "out" / f"{name}{end}.tif", values.astype("float32"), "YX")


@pytest.mark.parametrize(("protocol", "gain", "offset"), [("plain", 1, 0), ("care", 1, 0), ("care", 0.01, 300)])
def test_scales_beside_predictions_follow_their_gain(tmp_path, protocol, gain, offset):
    write_predictions(tmp_path, gain, offset)
    found = calibration_of_folders(tmp_path / "out", tmp_path / "GT", get_protocol(protocol))
    assert found.pixels == 2 * 60 * 70 and found.factor() == pytest.approx(2, rel=0.03)


def test_predictions_without_scale_are_refused(tmp_path):
    write_predictions(tmp_path)
    (tmp_path / "out/b_scale.tif").unlink()
    with pytest.raises(InputError, match=r"b_scale.tif: no such file, expected the scale of b.tif"):
        calibration_of_folders(tmp_path / "out", tmp_path / "GT", get_protocol("plain"))
    with pytest.raises(InputError, match="found the protocol em, expected care or plain"):
        calibration_of_folders(tmp_path / "out", tmp_path / "GT", get_protocol("em"))
