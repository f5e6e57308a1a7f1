"""A preview shows the right planes, in one scale of grey, and reads no image whole."""

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.preview import preview_figure, write_preview
from aeanet_tf.evaluation.reduced import reduced_plane
from aeanet_tf.io import statistics
from aeanet_tf.io.image import Image

RNG = np.random.default_rng(0)
VOLUME = RNG.uniform(100, 200, (6, 20, 30)).astype("float32")


class Lazy:
    """An array that is only read in pieces, and remembers the largest."""

    def __init__(self, array, chunks):
        self.array, self.chunks, self.shape, self.dtype, self.largest = array, chunks, array.shape, array.dtype, 0

    def __getitem__(self, slices):
        assert len(slices) == len(self.shape) and all(part.step in (None, 1) for part in slices)
        values = self.array[slices]
        self.largest = max(self.largest, values.size)
        return values


@pytest.mark.parametrize("step", [1, 3, 7])
@pytest.mark.parametrize(("axes", "chunks"), [("ZYX", (2, 8, 8)), ("TZCYX", (1, 1, 2, 5, 30)), ("XYZ", (9, 4, 3))])
def test_a_reduced_plane_is_numpys(monkeypatch, axes, chunks, step):
    monkeypatch.setattr(statistics, "PIECE_BYTES", 256)
    sizes = {"T": 2, "Z": 5, "C": 3, "Y": 23, "X": 31}
    array = RNG.integers(0, 999, [sizes[a] for a in axes]).astype("uint16")
    image = Image(Lazy(array, chunks), axes)
    first = {a: 0 for a in axes if a in "TC"}
    letters = "".join(a for a in axes if a not in "TC").lower()
    ordered = np.einsum(f"{letters}->zyx", array[tuple(first.get(a, slice(None)) for a in axes)])
    np.testing.assert_array_equal(reduced_plane(image, step, first), ordered.max(0)[::step, ::step])
    np.testing.assert_array_equal(reduced_plane(image, step, first | {"Z": 3}), ordered[3, ::step, ::step])
    box = {"Y": slice(5, 20), "X": slice(11, 30)}
    np.testing.assert_array_equal(reduced_plane(image, step, first, box), ordered.max(0)[5:20:step, 11:30:step])
    assert image.array.largest <= max(128, np.prod(chunks))


def panels(figure):
    """Label -> the array that is shown, and its range."""
    return {c.get_label(): c.images[0] for c in figure.axes if c.get_label().startswith(("input", "output"))}


def shown(figure):
    return {name: np.asarray(picture.get_array()) for name, picture in panels(figure).items()}


def ranges(figure):
    return [picture.get_clim() for picture in panels(figure).values()]


def test_images_are_shown_in_one_scale_of_grey():
    image = VOLUME[0]
    figure = preview_figure(image, 0.5 * image + 75, "YX", title="a $1$ name")
    found = shown(figure)
    np.testing.assert_array_equal(found["input"], image)
    np.testing.assert_array_equal(found["output"], 0.5 * image + 75)
    assert len({*ranges(figure)}) == 1 and figure.get_size_inches()[0] * 100 == 1200
    assert figure.axes[0].get_xlabel() == "x (pixels)" and figure.get_suptitle() == "a $1$ name"


def test_another_range_has_its_own_scale_and_the_title_says_so():
    figure = preview_figure(VOLUME[0], VOLUME[1] / 1000, "YX")
    assert len({*ranges(figure)}) == 2
    assert [cell.get_title() for cell in figure.axes[:2]] == ["input (own scale of grey)", "output (own scale of grey)"]


def test_volumes_are_a_slice_and_a_maximum_in_micrometres():
    image = Image(VOLUME, "ZYX", {"Z": 1.0, "Y": 0.5, "X": 0.5}, "um")
    figure = preview_figure(image, Image(VOLUME + 1, "ZYX"))
    found = shown(figure)
    np.testing.assert_array_equal(found["input, middle slice (z = 4 of 6)"], VOLUME[3])
    np.testing.assert_array_equal(found["output, maximum along Z"], VOLUME.max(0) + 1)
    assert list(found) == [
        f"{side}, {row}" for row in ("middle slice (z = 4 of 6)", "maximum along Z") for side in ("input", "output")
    ]
    first = figure.axes[0]
    assert first.get_xlabel() == "x (µm)" and first.get_xlim() == (0, 15) and first.get_ylim() == (10, 0)
    # A bar of a round length.
    assert [text.get_text() for text in first.texts] == ["2 µm"] and first.patches[0].get_width() == 2


def test_a_projection_is_beside_the_maximum():
    found = shown(preview_figure(VOLUME, VOLUME.mean(0), "ZYX"))
    np.testing.assert_array_equal(found["input, maximum along Z"], VOLUME.max(0))
    np.testing.assert_array_equal(found["output, maximum along Z"], VOLUME.mean(0))
    assert len(found) == 2


@pytest.mark.parametrize("axes", ["YX", "ZYX"])
def test_labels_have_colours_and_a_legend(axes):
    image = VOLUME if axes == "ZYX" else VOLUME[3]
    labels = np.where(image > 150, 200, 10).astype("uint8")
    figure = preview_figure(image, labels, axes, labels=True)
    (name,) = [name for name in shown(figure) if name.startswith("output")]
    np.testing.assert_array_equal(shown(figure)[name], VOLUME[3] > 150)
    assert len(panels(figure)) == 2 and figure.axes[1].get_title() == "labels"
    assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()] == ["10", "200"]


def test_the_title_says_which_channel_and_frame():
    lapse = RNG.random((3, 2, 8, 9))
    figure = preview_figure(lapse, 1 - lapse, "TCYX", title="lapse.tif")
    assert figure.get_suptitle() == "lapse.tif\nchannel 1 of 2, frame 1 of 3"
    np.testing.assert_allclose(shown(figure)["input"], lapse[0, 0], rtol=1e-6)


def test_large_images_are_reduced_beside_a_part_as_it_is():
    image = np.zeros((600, 1300), "float32")
    image[100:300, 900:1100] = RNG.normal(0, 9, (200, 200))
    figure = preview_figure(image, image, "YX")
    found = shown(figure)
    np.testing.assert_array_equal(found["input, 1 pixel in 3"], image[::3, ::3])
    part = found["output, part with all pixels"]
    top, left = (round(figure.axes[2].get_ylim()[1]), round(figure.axes[2].get_xlim()[0]))
    np.testing.assert_array_equal(part, image[top : top + 256, left : left + 256])
    assert part.shape == (256, 256) and (part != 0).sum() > 38_000
    # Where it is.
    frame = figure.axes[0].patches[0]
    assert (frame.get_x(), frame.get_y(), frame.get_width()) == (left, top, 256)


def test_what_does_not_fit_is_refused_and_nothing_is_left(tmp_path):
    with pytest.raises(InputError, match="prediction: 19 pixels along Y, expected 20 as the image"):
        write_preview(tmp_path / "a.png", Image(VOLUME[0], "YX"), Image(VOLUME[0, 1:], "YX"))
    with pytest.raises(InputError, match="axes: found YX for an array of shape"):
        preview_figure(VOLUME, VOLUME, "YX")
    assert not list(tmp_path.iterdir())
