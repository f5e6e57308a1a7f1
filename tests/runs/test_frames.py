"""Pieces of images as the network is given them, and its output as it is stored, against CSBDeep on whole images."""

import pickle

import numpy as np
import pytest
from csbdeep.data import NoNormalizer, PadAndCropResizer, PercentileNormalizer

from aeanet_tf.errors import InputError
from aeanet_tf.io.frame import frame_image
from aeanet_tf.io.image import Image, check_fits
from aeanet_tf.models.normalizers import RangeNormalizer, fit_normalizer
from aeanet_tf.models.preparation import NormalizationSection
from aeanet_tf.runs.frames import FrameSource, FrameTarget, frames_of, output_layout

SIZES = {"T": 3, "Z": 5, "C": 2, "Y": 13, "X": 18}
DIVISOR = {"Z": 2, "Y": 8, "X": 16, "T": 2}
SECTION = NormalizationSection(low=2, high=99)


class ArrayWriter:
    """Writes into an array in memory."""

    def __init__(self, array):
        self.array = array

    def write(self, slices, values):
        self.array[slices] = values


class Lazy:
    """An array that is only sliced, and remembers how much was read."""

    def __init__(self, array, chunks):
        self.array, self.chunks, self.read = array, chunks, 0
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, slices):
        assert len(slices) == self.ndim and all(s.step in (None, 1) for s in slices)
        values = self.array[slices]
        self.read += values.size
        return values.copy()


def image_of(axes, dtype=np.float32, lazy=True, sizes=SIZES):
    shape = [sizes[a] for a in axes]
    array = (np.random.default_rng(0).random(shape) * 200).astype(dtype)
    return Image(Lazy(array, (1,) * (len(axes) - 1) + (4,)) if lazy else array, axes)


def in_net_axes(array, axes, net_axes):
    """einsum names the dimensions on its own, independently of the transposition under test."""
    if "C" not in axes:
        array, axes = array[..., None], axes + "C"
    return np.einsum(f"{axes.lower()}->{net_axes.lower()}", array)


def divisor_of(net_axes, divisor=DIVISOR):
    return tuple(divisor[a] for a in net_axes if a != "C")


def csbdeep_input(array, net_axes, divisor=DIVISOR):
    normalizer, resizer = PercentileNormalizer(2, 99), PadAndCropResizer()
    x = resizer.before(normalizer.before(array, net_axes), net_axes, (*divisor_of(net_axes, divisor), 1))
    return x, normalizer, resizer


def cuts(shape):
    """Slices that cover a box, in pieces that overlap and lie unevenly."""
    rng = np.random.default_rng(1)
    yield tuple(slice(0, n) for n in shape)
    for _ in range(25):
        starts = [rng.integers(0, n) for n in shape]
        yield tuple(slice(int(a), int(rng.integers(a + 1, n + 1))) for a, n in zip(starts, shape, strict=True))


@pytest.mark.parametrize(
    ("axes", "net_axes"),
    [("YX", "YXC"), ("XY", "YXC"), ("CYX", "YXC"), ("YXC", "YXC"), ("XCY", "YXC"), ("ZYX", "ZYXC"), ("CXZY", "ZYXC")]
    + [("TCYX", "TYXC")],
)
@pytest.mark.parametrize("lazy", [True, False])
def test_pieces_are_those_of_csbdeeps_whole_input(axes, net_axes, lazy):
    image = image_of(axes, np.uint16, lazy)
    whole = image.array.array if lazy else image.array
    expected, _, resizer = csbdeep_input(in_net_axes(whole, axes, net_axes), net_axes)
    source = FrameSource(image, net_axes, divisor_of(net_axes), fit_normalizer(SECTION, image, net_axes))
    source = pickle.loads(pickle.dumps(source))
    assert source.shape == expected.shape and source.ndim == expected.ndim
    assert source.size == tuple(SIZES[a] for a in net_axes if a != "C")
    assert source.pad == tuple(resizer.pad[a] for a in net_axes if a != "C")
    assert frames_of(image, net_axes) == [None]
    for slices in cuts(source.shape[:-1]):
        piece = source[slices]
        assert piece.dtype == np.float32 and piece.flags.c_contiguous
        np.testing.assert_allclose(piece, expected[slices], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("divisor", [3, 8, 16])
def test_images_smaller_than_their_padding_are_reflected_as_numpy_does(size, divisor):
    divisor = {"Y": divisor, "X": 16}
    array = np.random.default_rng(0).random((size, 3)).astype(np.float32)
    expected, _, _ = csbdeep_input(array[..., None], "YXC", divisor)
    image = Image(array, "YX")
    source = FrameSource(image, "YXC", divisor_of("YXC", divisor), fit_normalizer(SECTION, image, "YXC"))
    for slices in cuts(source.shape[:-1]):
        np.testing.assert_allclose(source[slices], expected[slices], rtol=1e-5, atol=1e-6)


def test_only_the_box_that_shows_is_read():
    image = image_of("ZYX")
    source = FrameSource(image, "ZYXC", (1, 8, 16), NoNormalizer())
    assert source.pad == ((0, 0), (1, 2), (7, 7))
    source[1:3, 4:9, 10:12]
    assert image.array.read == 2 * 5 * 2
    image.array.read = 0
    source[0:1, 0:2, 0:8]  # Padding shows pixels 0 and 1 of y, 0 to 7 of x.
    assert image.array.read == 2 * 8


def test_values_are_floats_whatever_the_normalizer():
    image = image_of("YX", np.uint8)
    everything = (slice(0, 16), slice(0, 32))
    plain = FrameSource(image, "YXC", (8, 16), NoNormalizer())[everything]
    ranged = FrameSource(image, "YXC", (8, 16), RangeNormalizer(0, 255))[everything]
    assert plain.dtype == ranged.dtype == np.float32
    np.testing.assert_allclose(ranged, plain / 255, rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_where_they_are_read(value):
    array = np.zeros((13, 18), np.float32)
    array[12, 17] = value
    source = FrameSource(Image(array, "YX", path="a.tif"), "YXC", (1, 1), NoNormalizer())
    assert not source[0:12, 0:18].any()
    with pytest.raises(InputError, match=r"^a\.tif: the image holds NaN or infinite values, expected finite ones$"):
        source[12:13, 0:18]


def test_frames_of_a_time_lapse():
    image = image_of("YTCX")
    image.pixel_size.update(T=5.0, X=0.5)
    assert frames_of(image, "YXC") == [{"T": 0}, {"T": 1}, {"T": 2}]
    single = frame_image(image, {"T": 2})
    assert single.axes == "YCX" and single.pixel_size == {"X": 0.5} and frame_image(image, None) is image
    assert single.array.shape == (13, 2, 18) and single.array.ndim == 3 and single.array.chunks == (1, 1, 4)
    for frame in range(3):
        expected, _, _ = csbdeep_input(in_net_axes(image.array.array[:, frame], "YCX", "YXC"), "YXC")
        fitted = fit_normalizer(SECTION, frame_image(image, {"T": frame}), "YXC")
        source = pickle.loads(pickle.dumps(FrameSource(image, "YXC", (8, 16), fitted, {"T": frame})))
        for slices in cuts(source.shape[:-1]):
            np.testing.assert_allclose(source[slices], expected[slices], rtol=1e-5, atol=1e-6)


def test_axes_that_do_not_fit_are_refused():
    for axes, net_axes in [("YX", "ZYXC"), ("TYX", "ZYXC"), ("ZYX", "TYXC")]:
        with pytest.raises(InputError, match=rf"axes {axes}, expected {net_axes[:-1]} .*the model's axes"):
            check_fits(image_of(axes), net_axes, 1, frames=True)
    with pytest.raises(InputError, match="axes TYX"):
        check_fits(image_of("TYX"), "YXC", 1)
    with pytest.raises(InputError, match=r"axes ZYX, expected YX .*the model's axes$"):
        check_fits(image_of("ZYX"), "YXC", 1)
    for axes in ("TYX", "ZYX", "TZYX"):
        check_fits(image_of(axes), "YXC", 1, frames=True)
    with pytest.raises(InputError, match=r"axes TYX, .*; if T are slices, say so with --axes ZYX"):
        check_fits(image_of("TYX"), "ZYXC", 1, frames=True)
    with pytest.raises(InputError, match="a single image needs a model of images"):
        check_fits(image_of("YX"), "ZYXC", 1, frames=True)
    with pytest.raises(InputError, match="found 1 channels, expected 2"):
        check_fits(image_of("TYX"), "YXC", 2, frames=True)


# Image, network's input and output axes, its output channels; axes and shape of the file.
LAYOUTS = [
    ("YX", "YXC", "YXC", 1, "YX", (13, 18)),
    ("XY", "YXC", "YXC", 3, "XYC", (18, 13, 3)),
    ("CYX", "YXC", "YXC", 2, "CYX", (2, 13, 18)),
    ("YXC", "YXC", "YXC", 1, "YXC", (13, 18, 1)),
    ("ZYX", "ZYXC", "YXC", 1, "YX", (13, 18)),
    ("CXZY", "ZYXC", "YXC", 2, "CXY", (2, 18, 13)),
    ("TYX", "YXC", "YXC", 1, "TYX", (3, 13, 18)),
    ("YTX", "YXC", "YXC", 2, "YTXC", (13, 3, 18, 2)),
    ("TZCYX", "ZYXC", "ZYXC", 2, "TZCYX", (3, 5, 2, 13, 18)),
    ("XCZTY", "ZYXC", "YXC", 2, "XCTY", (18, 2, 3, 13)),
    ("ZYX", "YXC", "YXC", 1, "ZYX", (5, 13, 18)),
    ("YZCTX", "YXC", "YXC", 2, "YZCTX", (13, 5, 2, 3, 18)),
]


@pytest.mark.parametrize(("axes", "net_axes", "net_out", "channels", "file_axes", "shape"), LAYOUTS)
@pytest.mark.parametrize("probabilistic", [False, True])
def test_output_is_restored_cropped_and_stored_as_by_csbdeep(
    axes, net_axes, net_out, channels, file_axes, shape, probabilistic
):
    image = image_of(axes)
    layout = output_layout(image, net_axes, net_out, channels)
    assert layout[:2] == (shape, file_axes)
    files = [np.full(shape, np.nan, np.float32) for _ in range(1 + probabilistic)]
    rng = np.random.default_rng(2)
    for frame in frames_of(image, net_axes):
        single = frame_image(image, frame)
        source = FrameSource(image, net_axes, divisor_of(net_axes), fit_normalizer(SECTION, single, net_axes), frame)
        by_axis = dict(zip(net_axes[:-1], source.shape, strict=False))
        y = rng.random([by_axis[a] for a in net_out[:-1]] + [channels * (1 + probabilistic)], np.float32)
        target = FrameTarget(source, net_out, *map(ArrayWriter, files), probabilistic=probabilistic)
        # A pickled writer would write to a copy of the file, so only the rest is taken from the pickle.
        target.__dict__ |= pickle.loads(pickle.dumps(target)).__dict__ | {"mean": target.mean, "scale": target.scale}
        write_in_pieces(target, y, net_axes, net_out, source.shape)

        at = frame or {}
        whole = image.array.array[tuple(at.get(a, slice(None)) for a in axes)]
        _, normalizer, resizer = csbdeep_input(in_net_axes(whole, single.axes, net_axes), net_axes)
        y = resizer.after(y, net_out)
        results = [y[..., :channels], y[..., channels:]] if probabilistic else [y, None]
        if source.shape[-1] == channels:
            results = normalizer.after(*results, net_out)
        for file, result in zip(files, results, strict=False):
            stored = file[tuple(at.get(a, slice(None)) for a in file_axes)]
            stored = in_net_axes(stored, "".join(a for a in file_axes if a not in at), net_out)
            np.testing.assert_allclose(stored, result, rtol=1e-5, atol=1e-4)
    assert all(np.isfinite(file).all() for file in files)


def write_in_pieces(target, y, net_axes, net_out, shape):
    """Cut y and x at odd places; the slices have an entry for a projected z at one time and none at another."""
    for number, rows in enumerate([slice(0, 7), slice(7, 16)]):
        for columns in (slice(0, 3), slice(3, 17), slice(17, 32)):
            by_axis = {"Y": rows, "X": columns, "Z": slice(0, shape[0])}
            out = tuple(by_axis[a] for a in net_out[:-1])
            target.write(tuple(by_axis[a] for a in net_axes[:-1]) if number else out, y[out])


def test_a_scale_without_a_writer_is_dropped_and_padding_is_not_written():
    image = image_of("YX")
    source = FrameSource(image, "YXC", (8, 16), RangeNormalizer(0, 10))
    file = np.zeros((13, 18), np.float32)
    target = FrameTarget(source, "YXC", ArrayWriter(file), probabilistic=True)
    target.write((slice(0, 16), slice(0, 32)), np.stack([np.ones((16, 32)), np.full((16, 32), 7)], -1))
    np.testing.assert_array_equal(file, 10)
    target.write((slice(0, 1), slice(None)), np.zeros((1, 32, 2), np.float32))
    np.testing.assert_array_equal(file, 10)
