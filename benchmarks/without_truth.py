"""Noise2Void on images whose truth the training does not know: is the noise what it takes, is a hidden pixel seen?

    python benchmarks/without_truth.py noise --data /path/to/w2s
    python benchmarks/without_truth.py leak --data /path/to/w2s --model models/n2v
    python benchmarks/without_truth.py batch --data /path/to/w2s --model models/n2v-em
    python benchmarks/without_truth.py simulate --data /path/to/w2s --output simulated
    python benchmarks/without_truth.py picture --data /path/to/w2s --image fov001_c0.tif --output panels.png \\
      --predictions CAREamics=careamics/prediction "Noise2Void=out"

``noise`` prints how far the noise of each channel is correlated along X and Y. ``leak`` hides pixels as in training and
prints the slope of the network's error on the noise of the same pixel: 0 where nothing of the pixel is seen, 1 where it
is copied. Below it stands the slope where nothing is hidden, as in prediction, where a pixel may take part in its own
estimate. ``batch`` gives a batch the same patch twice, with other pixels hidden, for networks whose attention or batch
norm spans patches, and prints what the output at a hidden pixel changes where its value in the other copy changes.
``simulate`` writes noisy images of the truths, for Noise2Noise. ``picture`` draws an image, the best Gaussian for
its truth, predictions that lie in folders, and the truth.
"""

import argparse
from pathlib import Path

import numpy as np
from seams import model_and_normalizer, test_pairs
from tables import markdown, run_script

from aeanet_tf.datasets.pairs import read_pair
from aeanet_tf.errors import InputError

CHANGE = 0.2
"""Standard deviation of what `batch` adds to pixels, in the unit of the network."""
LAGS = 3
PHOTONS, READ_NOISE = 20, 2
"""Of what `simulate` makes: photons at grey value 255, noise in photons; 10 grey values a photon, offset 100."""


def pairs(data):
    """Name of the file, noisy image and truth in its intensities, for each test image in the layout of W2S."""
    from aeanet_tf.training.pairs import matched_truth

    for paths in test_pairs(data):
        low, truth = (image.array.astype("float32") for image in read_pair(*paths, "YX"))
        yield Path(paths[0]).stem, low, matched_truth(low, truth)


def autocorrelation(noise):
    """Of an image of noise, at distances 1 to `LAGS` along X and then along Y."""
    noise = noise - noise.mean()
    products = [noise[:, :-d] * noise[:, d:] for d in range(1, LAGS + 1)]
    products += [noise[:-d] * noise[d:] for d in range(1, LAGS + 1)]
    return [float(product.mean() / (noise**2).mean()) for product in products]


def slope(errors, noise):
    """Least squares of errors on noise, and the standard error of the slope."""
    errors, noise = errors - errors.mean(), noise - noise.mean()
    value = float((errors * noise).sum() / (noise**2).sum())
    rest = errors - value * noise
    return value, float(np.sqrt((rest**2).mean() / (noise**2).sum()))


def show_noise(arguments):
    """Print the correlations of each channel, which the end of a name such as fov001_c2 is."""
    channels = {}
    for name, low, truth in pairs(arguments.data):
        channels.setdefault(name.rpartition("_")[2], []).append(autocorrelation(low - truth))
    lines = [
        [name, str(len(values)), *(f"{value:.3f}" for value in np.mean(values, axis=0))]
        for name, values in sorted(channels.items())
    ]
    print(markdown(["channel", "images", *(f"{axis}, {d}" for axis in "XY" for d in range(1, LAGS + 1))], lines))


def show_leak(arguments):
    """Print the slopes of a model, over all images."""
    from aeanet_tf.models.noisy_targets import blind_spots

    model, normalizer = model_and_normalizer(arguments.model)
    spots, found = blind_spots(model.config), {"hidden": [], "shown, as in prediction": []}
    for number, (x, truth) in enumerate(_normalised(arguments.data, normalizer)):
        seen, hidden = spots.hide(np.random.default_rng([number, 0]), x)
        for values, given in zip(found.values(), (seen, x), strict=True):
            predicted = np.asarray(model.keras_model(given[None], training=False))[0]
            values.append(((predicted - truth)[hidden], (x - truth)[hidden]))
    lines = []
    for name, values in found.items():
        errors, noise = (np.concatenate(part).astype("float64") for part in zip(*values, strict=True))
        value, deviation = slope(errors, noise)
        lines.append([name, f"{errors.size:,}", f"{value:.5f} ± {deviation:.5f}", f"{(errors**2).mean():.6f}"])
    print(markdown(["pixels", "number", "slope of the error on the noise", "squared error"], lines))


def show_batch(arguments):
    """Print the slope of the output of a model on the value that another patch of the batch shows."""
    from aeanet_tf.models.noisy_targets import blind_spots

    model, normalizer = model_and_normalizer(arguments.model)
    rng, spots, changes = np.random.default_rng(0), blind_spots(model.config), []
    images = [x for x, _ in _normalised(arguments.data, normalizer)]
    for _ in range(arguments.rounds):
        drawn = rng.integers(len(images), size=model.config.train_batch_size - 1)
        patches = [_crop(rng, images[i], model.config.train_patch_size) for i in drawn]
        seen, hidden = spots.hide(rng, patches[0])
        copy, *others = (spots.hide(rng, patch)[0] for patch in patches)
        added = np.where(hidden[..., None], rng.normal(0, CHANGE, copy.shape), 0).astype("float32")
        before, after = (
            np.asarray(model.keras_model(np.stack([seen, each, *others]), training=True))[0]
            for each in (copy, copy + added)
        )
        changes.append(((after - before)[hidden], added[hidden]))
    outputs, inputs = (np.concatenate(part).astype("float64") for part in zip(*changes, strict=True))
    value, deviation = slope(outputs, inputs)
    header = ["pixels", "slope of the output on the copy", "change of the output"]
    print(markdown(header, [[f"{outputs.size:,}", f"{value:.6f} ± {deviation:.6f}", f"{outputs.std():.6f}"]]))


def _normalised(data, normalizer):
    """Image and truth as a model sees them, ``(y, x, channel)``."""
    from aeanet_tf.training.pairs import matched_truth

    for paths in test_pairs(data):
        low, truth = (image.array for image in read_pair(*paths, "YX"))
        x = normalizer.before(low.astype("float32"), "YX")
        yield x[..., None], matched_truth(x, truth)[..., None]


def simulate(arguments):
    """Write noisy images of the truths: two of each to train on, ``first`` and ``second``, one to test on."""
    from tifffile import imread, imwrite

    rng = np.random.default_rng(0)
    for part, sides in (("train", ("first", "second")), ("test", ("low", "GT"))):
        for path in sorted((arguments.data / part / "GT").glob("*.tif")):
            truth = imread(path).astype("float64")
            for side in sides:
                image = truth
                if side != "GT":
                    counts = rng.poisson(truth * (PHOTONS / 255))
                    image = np.maximum(0, 10 * counts + rng.normal(100, 10 * READ_NOISE, truth.shape))
                target = arguments.output / part / side / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                imwrite(target, image.round().astype("uint16"))


def show_picture(arguments):
    """Draw the panels of an image, all in the intensities of the truth (care protocol)."""
    from aeanet_tf.evaluation.baselines import best_sigmas, gaussian
    from aeanet_tf.evaluation.figures import save_figure
    from aeanet_tf.evaluation.panels import prediction_panels
    from aeanet_tf.evaluation.protocols import align_care, get_protocol
    from aeanet_tf.io.read import read_image

    paths = next(pair for pair in test_pairs(arguments.data) if Path(pair[0]).name == arguments.image)
    low, truth = (image.array for image in read_pair(*paths, "YX"))
    sigma = best_sigmas([(low, truth)])[0]
    images = {"input": low, f"Gaussian, sigma {sigma:g}": gaussian(low, sigma)}
    for text in arguments.predictions:
        name, _, folder = text.partition("=")
        images[name] = read_image(Path(folder) / arguments.image).array
    scores = {name: get_protocol("care")(truth, image) for name, image in images.items()}
    shown = {name: align_care(truth, image)[1] for name, image in images.items()}
    figure = prediction_panels(shown.pop("input"), shown, align_care(truth, low)[0], scores, arguments.image)
    save_figure(figure, arguments.output, 100)


def _crop(rng, image, size):
    corner = [rng.integers(n - s + 1) for n, s in zip(image.shape[:-1], size, strict=True)]
    return image[tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))]


def main(argv=None):
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("measurement", choices=("noise", "leak", "batch", "picture", "simulate"))
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with test/low and test/GT")
    parser.add_argument("--model", type=Path, metavar="DIR", help="folder of a model trained with noise2void")
    parser.add_argument("--rounds", type=int, default=16, help="batches of the measurement batch")
    parser.add_argument("--image", metavar="NAME", help="of the picture")
    parser.add_argument("--predictions", nargs="*", default=[], metavar="NAME=DIR", help="folders of predictions")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the picture, or the images, are written")
    options = parser.parse_args(argv)
    if options.measurement in ("leak", "batch") and options.model is None:
        raise InputError("--model: missing, expected the folder of a model")
    if options.measurement == "picture" and (options.image is None or options.output is None):
        raise InputError("--image, --output: missing, expected an image and where its picture is written")
    if options.measurement == "simulate" and options.output is None:
        raise InputError("--output: missing, expected a folder for the images")
    measurements = {"noise": show_noise, "leak": show_leak, "batch": show_batch}
    {**measurements, "picture": show_picture, "simulate": simulate}[options.measurement](options)


if __name__ == "__main__":
    run_script(main)
