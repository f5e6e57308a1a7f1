"""Mixtures of Laplace distributions, pixel by pixel: what the models of a probabilistic ensemble predict together."""

import numpy as np

# Numbers that are computed at a time, for what is between to stay small beside the image.
_AT_ONCE = 2**18
# Halvings of the interval that holds a quantile: float32 has no more digits.
_HALVINGS = 32
# Nodes of Gauss and Legendre on each side of a member's mean: the disagreement is then right to 0.005.
_NODES = 24


class LaplaceMixture:
    """The mixture of several Laplace distributions of equal weight, independently for each pixel.

    It is called as CSBDeep's ``ProbabilisticPrediction`` is, which is one Laplace distribution: ``mean()``,
    ``scale()``, ``std()``, ``interval(0.95)``, ``ppf``, ``cdf``, ``pdf``, ``rvs``, ``sampling_generator``, indices.

    Args:
        means: array ``(n, *shape)``, the means of n distributions, or a list of n arrays.
        scales: their scales, of the same shape, above 0. The standard deviation of a Laplace distribution is the
            square root of 2 times its scale, and the scale is the mean absolute deviation.

    Example:
        >>> import numpy as np
        >>> mixture = LaplaceMixture(np.array([[0.0, 1.0], [2.0, 1.0]]), np.ones((2, 2)))
        >>> mixture.mean().tolist(), mixture.std().round(3).tolist()
        ([1.0, 1.0], [1.732, 1.414])
        >>> tuple(float(value[1].round(3)) for value in mixture.interval(0.9))
        (-1.303, 3.303)
    """

    def __init__(self, means, scales):
        self.means, self.scales = np.asarray(means), np.asarray(scales)
        if self.means.shape != self.scales.shape or not self.means.ndim or not len(self.means):
            raise ValueError(f"means, scales: shapes {self.means.shape} and {self.scales.shape}, expected equal ones")

    def __getitem__(self, indices):
        whole = (slice(None), *(indices if isinstance(indices, tuple) else (indices,)))
        return LaplaceMixture(self.means[whole], self.scales[whole])

    def __len__(self):
        return self.shape[0]

    @property
    def shape(self):
        """Of the image."""
        return self.means.shape[1:]

    @property
    def ndim(self):
        """Dimensions of the image."""
        return self.means.ndim - 1

    @property
    def size(self):
        """Pixels of the image."""
        return self.means[0].size

    def mean(self):
        """The mean of the mixture, that of the members' means."""
        return self.means.mean(0)

    def var(self):
        """The variance: the mean of the members' variances, and the variance of their means."""
        return 2 * (self.scales**2).mean(0) + self.means.var(0)

    def std(self):
        """The standard deviation."""
        return np.sqrt(self.var())

    def scale(self):
        """The scale of the Laplace distribution that has the variance of the mixture."""
        return np.sqrt(self.var() / 2)

    def median(self):
        """The median; see `ppf`."""
        return self.ppf(0.5)

    def pdf(self, x):
        """The density at ``x``, a number or an array that fits the image."""
        return (np.exp(-abs(x - self.means) / self.scales) / (2 * self.scales)).mean(0)

    def logpdf(self, x):
        """The logarithm of `pdf`."""
        return np.log(self.pdf(x))

    def cdf(self, x):
        """The probability of values up to ``x``, a number or an array that fits the image."""
        return _cdf(self.means, self.scales, x)

    def sf(self, x):
        """The probability of values above ``x``."""
        return 1 - self.cdf(x)

    def ppf(self, q):
        """The quantile below which the probability ``q`` lies, a number between 0 and 1; found by halving intervals.

        Raises:
            ValueError: another number.
        """
        if not 0 < q < 1:
            raise ValueError(f"q: found {q}, expected a number between 0 and 1")
        return self._in_pieces(lambda means, scales: _quantile(means, scales, q))

    def interval(self, confidence):
        """The central credible interval: ``(lower, upper)``, beyond each of which lies half of what is left.

        Args:
            confidence: probability of the interval, between 0 and 1, such as 0.95.

        Raises:
            ValueError: another number.
        """
        return self.ppf((1 - confidence) / 2), self.ppf((1 + confidence) / 2)

    def rvs(self, random_state=None):
        """A sample: for each pixel a value of a member drawn for this pixel.

        Args:
            random_state: seed, or a NumPy generator.
        """
        rng = np.random.default_rng(random_state)
        chosen = rng.integers(len(self.means), size=(1, *self.shape))
        mean, scale = (np.take_along_axis(array, chosen, 0)[0] for array in (self.means, self.scales))
        return rng.laplace(mean, scale)

    def sampling_generator(self, n=None, random_state=None):
        """Samples without end, or ``n`` of them; see `rvs`."""
        rng, count = np.random.default_rng(random_state), 0
        while n is None or count < n:
            yield self.rvs(rng)
            count += 1

    def disagreement(self):
        """How far the members are apart, as in CARE's paper: 0 where they are equal, 1 where none overlaps another.

        The mean of the Kullback-Leibler divergences of the n members from the mixture, divided by log n, which is the
        most that it can be. It has no closed form: it is integrated numerically, to 0.005.
        """
        return self._in_pieces(_disagreement)

    def _in_pieces(self, function):
        means, scales = (array.reshape(len(array), -1) for array in (self.means, self.scales))
        result, step = np.empty(means.shape[1:], np.result_type(means, "float32")), max(1, _AT_ONCE // len(means))
        for start in range(0, means.shape[1], step):
            part = slice(start, start + step)
            result[part] = function(means[:, part], scales[:, part])
        return result.reshape(self.shape)


def laplace_interval(mean, scale, confidence):
    """The central credible interval of a Laplace distribution: ``(lower, upper)``."""
    width = -np.log1p(-confidence) * scale
    return mean - width, mean + width


def _cdf(means, scales, x):
    z = (x - means) / scales
    half = 0.5 * np.exp(-abs(z))
    return np.where(z < 0, half, 1 - half).mean(0)


def _quantile(means, scales, q):
    own = means - scales * np.sign(q - 0.5) * np.log1p(-2 * abs(q - 0.5))
    # The mixture's lies between those of its members.
    low, high = own.min(0).astype(float), own.max(0).astype(float)
    for _ in range(_HALVINGS if len(means) > 1 else 0):
        middle = (low + high) / 2
        below = _cdf(means, scales, middle) < q
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def _disagreement(means, scales):
    count = len(means)
    if count == 1:
        return np.zeros(means.shape[1:])
    means, scales = means.astype(float), scales.astype(float)
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    distances, total = -np.log((1 - nodes) / 2), np.zeros(means.shape[1:])
    for mean, scale in zip(means, scales, strict=True):
        for node, weight in zip(distances, weights / 2, strict=True):
            for x in (mean - node * scale, mean + node * scale):
                # Densities of all members over that of this one; 1 is its own.
                other = np.exp(node - abs(x - means) / scales) * (scale / scales)
                total -= 0.5 * weight * np.log(other.mean(0))
    return np.clip(total / (count * np.log(count)), 0, 1)
