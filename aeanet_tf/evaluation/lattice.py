"""How strong a lattice of period 2 is in an image: what transposed convolutions of stride 2 leave behind."""

import numpy as np
from scipy.ndimage import correlate1d, gaussian_filter

from aeanet_tf.errors import InputError

WINDOW = 32
FLATTEST = 0.25

_STEP = WINDOW // 2
_NEIGHBOURS = 4
# The main lobe of a Hann window: a lattice is in these bins, too.
_LOBE = 1
_SMOOTHING = 2.0
# A lattice far below this share of the image's range is nobody's concern, and in a smooth image it may be rounding.
_FLOOR = 1e-4
_CHUNK = 512
_HANN = np.sin(np.pi * np.arange(WINDOW) / WINDOW) ** 2
# Fourth differences. At period 2 the gain is 1 and stationary, and what is smooth is gone before the window is applied,
# so that nothing of it leaks to where the lattice is.
_DIFFERENCES = np.array([1, -4, 6, -4, 1]) / 16


def lattice(image: np.ndarray, reference: np.ndarray | None = None) -> float:
    """Power at period 2 over the power beside it, in the flat regions of an image.

    Windows of 32 x 32 pixels (Hann, half overlapping; the last of a row reaches the border) are taken from the image,
    of them the flattest quarter, at least one: those in which the reference, smoothed by a Gaussian of sigma 2, varies
    least. Windows in which the image is constant do not count. In each window the power at the frequencies (0, 1/2),
    (1/2, 0) and (1/2, 1/2) is divided by the median power of the bins within 4 of it, without the nearest, which share
    a lattice's power; the median is divided by ln 2, which makes it the mean for noise. The ratios are averaged over
    the windows, and the largest of the three is the result. To both powers that of white noise of 1e-4 of the image's
    range is added, so that rounding does not count.

    About 1 without a lattice: 0.8 to 2 for white noise of 256 x 256 pixels or more, up to 3 for 128 x 128 and up to 13
    for smaller images, which have few windows; 0 to 2.5 for noise that was smoothed, 1.0 to 1.1 for gradients. A
    checkerboard of amplitude a in white noise of standard deviation s adds about 500 (a / s)^2. Where all else is very
    smooth, the ratio of a lattice nobody sees is large: that of pixels which were interpolated between others, too.

    Args:
        image: YX, or ZYX, of which each plane is taken by itself and the windows of all are averaged.
        reference: image of the same shape that says where it is flat, such as the ground truth; None takes ``image``.

    Returns:
        The ratio, not negative; 1 for a constant image.

    Raises:
        InputError: the image is neither 2D nor 3D or is smaller than a window, or the shape of the reference differs.
    """
    image = np.asarray(image)
    reference = image if reference is None else np.asarray(reference)
    if image.ndim not in (2, 3) or min(image.shape[-2:]) < WINDOW:
        raise InputError(
            f"lattice: found an image of shape {image.shape}, expected YX or ZYX of at least {WINDOW} x {WINDOW}"
        )
    if reference.shape != image.shape:
        raise InputError(
            f"lattice: found a reference of shape {reference.shape}, expected {image.shape} as the image's"
        )
    planes = zip(image.reshape(-1, *image.shape[-2:]), reference.reshape(-1, *image.shape[-2:]), strict=True)
    ratios = np.concatenate([_ratios(plane.astype(np.float64), flat.astype(np.float64)) for plane, flat in planes])
    return float(ratios.mean(axis=0).max()) if len(ratios) else 1.0


def _ratios(plane: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Ratios of the flat windows of a plane at the three frequencies: (windows, 3)."""
    corners = _flat_corners(plane, reference)
    if not len(corners):
        return np.empty((0, 3))
    low, high = np.percentile(plane, (0.2, 99.8))
    span = high - low if high > low else np.ptp(plane)
    taper = np.outer(_HANN, _HANN)
    floor = (_FLOOR * span) ** 2 * np.sum(taper**2)
    ratios = np.empty((len(corners), 3))
    for number, axes in enumerate(((0,), (1,), (0, 1))):
        filtered = plane
        for axis in axes:
            # "mirror" goes on with a lattice beyond the border, "reflect" would break it.
            filtered = correlate1d(filtered, _DIFFERENCES, axis, mode="mirror")
        windows = np.lib.stride_tricks.sliding_window_view(filtered, (WINDOW, WINDOW))
        for start in range(0, len(corners), _CHUNK):
            y, x = corners[start : start + _CHUNK].T
            power = np.abs(np.fft.fft2(windows[y, x] * taper)) ** 2
            ratios[start : start + _CHUNK, number] = _peak_over_surroundings(power, axes, floor)
    return ratios


def _peak_over_surroundings(power: np.ndarray, axes: tuple[int, ...], floor: float) -> np.ndarray:
    """For spectra (n, 32, 32) of an image differentiated along ``axes``, the ratio at period 2 along these: (n,)."""
    offsets = np.arange(-_NEIGHBOURS, _NEIGHBOURS + 1)
    bins = [(WINDOW // 2 if axis in axes else 0) + offsets for axis in (0, 1)]
    gains = [np.sin(np.pi * bins[axis] / WINDOW) ** 8 if axis in axes else np.ones(len(offsets)) for axis in (0, 1)]
    near = power[:, bins[0][:, None], bins[1]] / np.outer(*gains) + floor
    outside = np.maximum(*np.abs(np.meshgrid(offsets, offsets))) > _LOBE
    return near[:, _NEIGHBOURS, _NEIGHBOURS] / (np.median(near[:, outside] - floor, axis=1) / np.log(2) + floor)


def _flat_corners(plane: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """First pixels (n, 2) of the flattest quarter of the windows in which the plane is not constant."""
    rows, columns = (np.unique([*range(0, size - WINDOW, _STEP), size - WINDOW]) for size in plane.shape)
    smooth = gaussian_filter(reference, _SMOOTHING)
    variance, constant = (np.empty((len(rows), len(columns)), dtype) for dtype in (float, bool))
    for number, row in enumerate(rows):
        for column, at in enumerate(columns):
            window = slice(row, row + WINDOW), slice(at, at + WINDOW)
            variance[number, column] = smooth[window].var()
            constant[number, column] = np.ptp(plane[window]) == 0
    places = np.argwhere(~constant)
    count = max(1, round(FLATTEST * len(places)))
    order = np.argsort(variance[~constant], kind="stable")[:count]
    return np.stack([rows[places[order, 0]], columns[places[order, 1]]], axis=1)
