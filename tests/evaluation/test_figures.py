"""The picture of a restoration shows what there is."""

import numpy as np
import pytest
from skimage.io import imread

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.figures import caption, restoration_figure

RNG = np.random.default_rng(0)
GT = RNG.random((30, 40))
IMAGES = {"input": GT + RNG.normal(0, 0.3, GT.shape), "prediction": GT + 0.01, "truth": GT}
SCORES = {"input": {"psnr": 20.0, "ssim": 0.5}, "prediction": {"psnr": 30.0, "ssim": 0.9}}
HISTORY = [{"epoch": 0, "loss": 0.5, "val_loss": 0.4}, {"epoch": 1, "loss": 0.3}, {"epoch": 2, "loss": 0.2}]


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draw, and look into the figure that is saved."""
    from matplotlib.figure import Figure

    figure = []
    monkeypatch.setattr(Figure, "__init__", _spy(Figure.__init__, figure))

    def draw(images=IMAGES, scores=SCORES, history=HISTORY, title="a title"):
        path = tmp_path / "new" / "a.png"
        restoration_figure(path, images, scores, history, title)
        assert [file.name for file in path.parent.iterdir()] == ["a.png"]
        picture = imread(path)
        assert picture.shape[:2] == (836, int(1430 * len(images) / 3)) and picture[..., :3].std() > 5
        return {axes.get_label(): axes for axes in figure[-1].axes}

    return draw


def test_a_long_name_has_several_lines():
    lines = caption("RCAN (filters=8; groups=2; blocks=2; reduction=4)", {"psnr": 30.0}).split("\n")
    assert lines == ["RCAN (filters=8; groups=2;", "blocks=2; reduction=4)", "PSNR 30.00 dB"]


def test_names_are_no_formulas(drawn):
    for name in ("a$\\frac$b", "$x$", "latin-\udcfc", "two\nlines"):
        axes = drawn(title=name, images={**IMAGES, "input": GT})
        assert axes["input"].figure.get_suptitle().startswith(name[0])


def _spy(init, seen):
    def wrapped(self, *args, **kwargs):
        seen.append(self)
        init(self, *args, **kwargs)

    return wrapped


def test_images_scores_and_curve(drawn):
    axes = drawn()
    assert axes["input"].get_title() == "input\nPSNR 20.00 dB, SSIM 0.500"
    assert axes["prediction"].get_title() == "prediction\nPSNR 30.00 dB, SSIM 0.900"
    assert axes["truth"].get_title() == "truth"
    for name, image in IMAGES.items():
        np.testing.assert_array_equal(axes[name].images[0].get_array(), image)
    training, validation = axes["curve"].get_lines()
    np.testing.assert_array_equal(training.get_xydata(), [(1, 0.5), (2, 0.3), (3, 0.2)])
    # An epoch without validation is a gap.
    np.testing.assert_array_equal(validation.get_ydata(), [0.4, np.nan, np.nan])
    assert axes["curve"].get_yscale() == "log"


def test_further_images_stand_where_they_were_put(drawn):
    label = "Gaussian (sigma 2)"
    images = {"input": IMAGES["input"], label: GT * 3, "prediction": IMAGES["prediction"], "truth": GT}
    axes = drawn(images=images, scores={**SCORES, label: {"psnr": 25.0, "ssim": 0.7}})
    assert [name for name in axes if name in images] == list(images)
    left = [axes[name].get_position().x0 for name in images]
    assert left == sorted(left) and len(set(left)) == 4
    assert axes[label].get_title() == f"{label}\nPSNR 25.00 dB, SSIM 0.700"
    lines = {line.get_label(): line for line in axes["detail"].get_lines()}
    assert list(lines) == list(images) and len({line.get_color() for line in lines.values()}) == 4
    # Each by its own percentiles: three times the truth is the truth.
    np.testing.assert_allclose(lines[label].get_ydata(), lines["truth"].get_ydata())
    assert max(lines.values(), key=lambda line: line.get_zorder()) is lines["prediction"]


@pytest.mark.filterwarnings("error")
def test_what_is_missing_is_left_out(drawn):
    axes = drawn(scores={}, history=[])
    assert axes["input"].get_title() == "input" and not axes["curve"].get_lines()
    axes = drawn(scores={"input": {"pearson": 0.5}, "prediction": {"ssim": 0.9}})
    assert axes["prediction"].get_title() == "prediction\nSSIM 0.900"


@pytest.mark.filterwarnings("error")
def test_a_negative_loss_and_constant_images_are_drawn(drawn):
    history = [{"epoch": 0, "loss": 0.5, "val_loss": -0.4}, {"epoch": 1, "loss": -0.3, "val_loss": -0.8}]
    axes = drawn(images=dict.fromkeys(IMAGES, np.zeros((20, 20))), history=history)
    assert axes["curve"].get_yscale() == "linear"
    assert len(axes["curve"].get_lines()) == 2


def test_a_picture_that_cannot_be_written_leaves_the_old_one(drawn, tmp_path, monkeypatch):
    drawn()
    path = tmp_path / "new" / "a.png"
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(InputError, match=r"a\.png: cannot be written \(No space"):
        restoration_figure(path, IMAGES, SCORES, HISTORY)
    assert path.read_bytes() == before
