"""Pictures of labels show classes in their colours, and where a method is wrong."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from skimage.io import imread

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.figures import COLOURS, save_figure
from aeanet_tf.evaluation.panels import label_panels

RNG = np.random.default_rng(0)
LABELS = [0, 10, 150, 250]
CLASSES = {label: str(label) for label in LABELS}
BLACK = (0, 0, 0)
IMAGE = RNG.random((12, 20))
TRUTH = RNG.choice(LABELS, IMAGE.shape)
# One wrong pixel of each class.
WRONG = TRUTH.copy()
PLACES = [tuple(np.argwhere(label == TRUTH)[0]) for label in LABELS]
for _place, _label in zip(PLACES, (10, 0, 10, 150), strict=True):
    WRONG[_place] = _label


def by_label(figure):
    return {axes.get_label(): axes for axes in figure.axes}


def colours(axes):
    """RGB of the pixels of the picture as drawn."""
    picture = axes.images[0]
    return picture.to_rgba(picture.get_array())[..., :3]


def test_labels_are_drawn_in_the_colours_of_their_classes():
    classes = dict(zip(LABELS, ("back", "CSF", "GM", "WM"), strict=True))
    figure = label_panels(IMAGE, TRUTH, {"a": WRONG, "b": TRUTH}, classes)
    axes = by_label(figure)
    np.testing.assert_array_equal(axes["input"].images[0].get_array(), IMAGE)
    expected = np.array([BLACK, *map(to_rgb, COLOURS[:3])])
    for name, labels in (("truth", TRUTH), ("a", WRONG), ("b", TRUTH)):
        np.testing.assert_allclose(colours(axes[name]), expected[np.searchsorted(LABELS, labels)])
    legend = axes["classes"].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["back", "CSF", "GM", "WM"]
    np.testing.assert_allclose([patch.get_facecolor()[:3] for patch in legend.get_patches()], expected)
    assert axes["truth"].get_title() == "ground truth" and axes["a"].get_title() == "a"


def test_maps_show_wrong_pixels_by_their_true_class():
    axes = by_label(label_panels(IMAGE, TRUTH, {"a": WRONG, "b": TRUTH}, CLASSES))
    picture = colours(axes["wrong a"])
    for place, colour in zip(PLACES, (BLACK, *map(to_rgb, COLOURS)), strict=False):
        np.testing.assert_allclose(picture[place], colour)
    # Elsewhere the image in light grey, brighter where it is bright.
    right = TRUTH == WRONG
    grey = picture[right]
    assert (grey == grey[:, :1]).all() and grey.min() > 0.6
    # The darkest and brightest hundredth are cut.
    assert np.corrcoef(grey[:, 0], IMAGE[right])[0, 1] > 0.999
    assert axes["wrong a"].get_xlabel() == "1.67 % of pixels wrong"
    grey = colours(axes["wrong b"])
    assert (grey == grey[..., :1]).all() and axes["wrong b"].get_xlabel() == "0.00 % of pixels wrong"


def test_scores_are_in_the_captions():
    scores = {
        "a": {"dice_mean": 0.71234, "dice_0": 0.9, "dice_150": np.nan, "dice_250": 0.5, "mhd_0": 3},
        "b": {"dice_10": 0.25},
    }
    axes = by_label(label_panels(IMAGE, TRUTH, dict.fromkeys("abc", TRUTH), CLASSES, scores))
    lines = {name: axes[name].get_xlabel().replace("\u00a0", " ").splitlines() for name in "abc"}
    assert lines == {"a": ["mean Dice 0.712", "0 0.900, 150 –, 250 0.500"], "b": ["Dice", "10 0.250"], "c": []}
    # A name is not parted from its number.
    classes = dict(zip(LABELS, ("background of the brain", "CSF", "grey matter", "white matter"), strict=True))
    every = {"a": {f"dice_{label}": 0.5 for label in LABELS}}
    text = by_label(label_panels(IMAGE, TRUTH, {"a": TRUTH}, classes, every))["a"].get_xlabel()
    first, *lines = text.splitlines()
    parts = [part for line in lines for part in line.removesuffix(",").split(", ")]
    assert first == "Dice" and len(lines) > 1 and [part.split("\u00a0")[-1] for part in parts] == ["0.500"] * 4


@pytest.mark.filterwarnings("error")
def test_one_class_and_a_flat_image_are_drawn(tmp_path):
    flat = np.zeros((8, 8))
    save_figure(label_panels(flat, flat, {"a": flat}, {0: "0"}, title="title"), tmp_path / "a.png", dpi=40)
    assert imread(tmp_path / "a.png")[..., :3].std() > 5


def test_what_does_not_fit_is_told():
    for changes, message in (
        ({"image": IMAGE[None]}, r"image: found shape \(1, 12, 20\), expected 2D"),
        ({"truth": TRUTH[1:]}, r"ground truth: found shape \(11, 20\), expected the image's \(12, 20\)"),
        ({"predictions": {"a": TRUTH[:, 1:]}}, r"a: found shape \(12, 19\), expected the image's \(12, 20\)"),
        ({"predictions": {}}, "predictions: found none, expected at least one method"),
        ({"predictions": {"a": TRUTH + 1}}, r"a: has the value \d+, expected labels \[0, 10, 150, 250\]"),
        ({"classes": dict.fromkeys(range(9), "any")}, "classes: found 9, expected at most 8"),
    ):
        arguments = {"image": IMAGE, "truth": TRUTH, "predictions": {"a": TRUTH}, "classes": CLASSES} | changes
        with pytest.raises(InputError, match=message):
            label_panels(**arguments)
