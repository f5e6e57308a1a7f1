"""The care protocol in NumPy alone, and the filter that a restoration has to beat.

The same numbers as ``aeanet_tf.evaluation.protocols``, which needs scikit-image; a test compares them.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

WINDOW = 7
SIGMAS = np.arange(0.5, 4.01, 0.25)


def normalised_truth(truth):
    """The ground truth with its percentiles 0.1 and 99.9 mapped to 0 and 1 and its mean to 0, float64."""
    low, high = np.percentile(truth, (0.1, 99.9))
    truth = (truth - low) / (high - low)
    return truth - truth.mean()


def fitted(truth, image):
    """An image with mean 0, scaled by cov / var to a normalised truth (covariance by n - 1, variance by n: CARE's)."""
    image = image.astype("float64") - image.mean(dtype="float64")
    variance = np.mean(image**2)
    return image * (np.sum(truth * image) / (truth.size - 1) / variance if variance else 0.0)


def care(truth, image):
    """``{"psnr", "ssim"}`` of an image by the care protocol, data range 1."""
    truth = normalised_truth(truth)
    image = fitted(truth, image)
    return {"psnr": psnr(truth, image), "ssim": ssim(truth, image)}


def psnr(truth, image):
    """Peak signal-to-noise ratio in dB for a data range of 1."""
    return float(-10 * np.log10(np.mean((truth - image) ** 2)))


def ssim(truth, image):
    """Mean structural similarity for a data range of 1: scikit-image's default, uniform windows of 7 and sample
    covariance, of the windows that lie within the image."""
    pixels = WINDOW**truth.ndim
    x, y = _window_means(truth), _window_means(image)
    unbiased = pixels / (pixels - 1)
    xx = unbiased * (_window_means(truth * truth) - x * x)
    yy = unbiased * (_window_means(image * image) - y * y)
    xy = unbiased * (_window_means(truth * image) - x * y)
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * x * y + c1) * (2 * xy + c2) / ((x * x + y * y + c1) * (xx + yy + c2))
    return float(similarity.mean())


def _window_means(image):
    """Means of all windows within the image, by differences of running sums along each axis."""
    for axis in range(image.ndim):
        sums = np.cumsum(np.moveaxis(image, axis, 0), axis=0)
        sums = np.concatenate([sums[WINDOW - 1 : WINDOW], sums[WINDOW:] - sums[:-WINDOW]])
        image = np.moveaxis(sums, 0, axis) / WINDOW
    return image


def gaussian(image, sigma):
    """A Gaussian filter as SciPy's: cut at 4 sigma, the image mirrored at its borders; as two matrix products."""
    rows, columns = (_blur_matrix(size, sigma) for size in image.shape)
    return rows @ image.astype("float64") @ columns.T


def _blur_matrix(size, sigma):
    radius = int(4 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    positions = np.arange(size)[:, None]
    sources = (positions + offsets) % (2 * size)
    sources = np.minimum(sources, 2 * size - 1 - sources)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (positions, sources), weights / weights.sum())
    return matrix


def best_sigma(pairs):
    """The sigma whose filter has the highest mean PSNR on these pairs."""
    truths = [normalised_truth(truth) for truth in pairs.truth]

    def mean(sigma):
        filtered = [gaussian(low, sigma) for low in pairs.low]
        return np.mean([psnr(t, fitted(t, image)) for t, image in zip(truths, filtered, strict=True)])

    with ThreadPoolExecutor() as pool:
        means = list(pool.map(mean, SIGMAS))
    return float(SIGMAS[np.argmax(means)])


def score_all(pairs, images):
    """Scores of restored images, for JSON: the means, those of each channel, and every image's.

    Args:
        pairs: `images.Pairs`.
        images: restored ones in the same order.
    """
    # A device waits meanwhile, whose time may be short.
    with ThreadPoolExecutor() as pool:
        scores = list(pool.map(care, pairs.truth, images))
    named = zip(pairs.names, pairs.channels, scores, strict=True)
    rows = [{"name": name, "channel": channel, **found} for name, channel, found in named]
    channels = {
        channel: _means([row for row in rows if row["channel"] == channel]) for channel in sorted(set(pairs.channels))
    }
    return {**_means(rows), "channels": channels, "images": rows}


def _means(rows):
    return {score: float(np.mean([row[score] for row in rows])) for score in ("psnr", "ssim")}
