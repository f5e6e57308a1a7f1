"""Measures a shared attention context in prediction (context="group") against one an image (context="image").

Images: the test images of W2S, restored each by itself and all in one group; care protocol, paired differences.

Time lapse: frames of one scene, simulated. Scene and noise are those of one test pair of W2S: the signal is the truth
in the units of the noisy image (straight line by least squares), and the variance of the noise a straight line in the
signal, fitted to the variance of low - signal in 32 bins of equally many pixels. Each frame has fresh Gaussian noise
of that variance (not below that of the darkest bin), and is rounded and cut to 0...255, as the files of W2S are. The
steady lapse has one brightness; in the bleaching one what is above the darkest signal falls exponentially to 50 %. The
frames are restored with the model's percentiles of each frame, and with those of the first for all, so that what
attention does to the brightness is told from what normalisation does. The table gives

* mean restored / mean true, of the first and the last frame, and its variation: standard deviation over the frames by
  mean over the frames (in the steady lapse that of the restored mean intensity);
* the mean over pixels of the standard deviation over the frames, relative to the range of the signal (steady only);
* PSNR against the signal, care protocol, mean over the frames.

    python benchmarks/shared_context.py --model models/w2s --data w2s [--frames 20] [--output shared_context.json]
"""

import argparse
import json
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student
from seams import CARE, add_sources, model_and_normalizer, read_arrays, test_pairs
from tables import markdown, run_script

from aeanet_tf.errors import InputError
from aeanet_tf.files import replacing, write_text

BINS = 32
CONTEXTS = ("image", "group")


def main(argv=None):
    """Measure both, print the tables, and write numbers and picture where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_sources(parser)
    parser.add_argument("--frames", type=int, default=20, metavar="N", help="of the time lapse")
    parser.add_argument("--image", type=int, default=0, metavar="N", help="index of the test image it is made from")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    parser.add_argument("--figure", type=Path, help="PNG of the mean intensities")
    options = parser.parse_args(argv)
    pairs = test_pairs(options.data)
    if options.frames < 2:
        raise InputError(f"--frames: {options.frames}, expected at least 2")
    if not 0 <= options.image < len(pairs):
        raise InputError(f"--image: {options.image}, expected 0 to {len(pairs) - 1}")
    model, normalizer = model_and_normalizer(options.model)
    read = [read_arrays(pair, model) for pair in pairs]
    images = measure_images(model, normalizer, *zip(*read, strict=True))
    print(images_table(images), flush=True)
    scene = fit_scene(*read[options.image])
    rng = np.random.default_rng(options.seed)
    print(f"\n{pairs[options.image][0].name}: {scene.describe(rng)}\n")
    lapses = measure_lapses(model, normalizer, scene, options.frames, rng)
    print(lapses_table(lapses))
    if options.output:
        write_text(options.output, json.dumps({"images": images, "lapses": lapses}, indent=1) + "\n")
    if options.figure:
        draw(options.figure, lapses)


def measure_images(model, normalizer, lows, truths):
    """Scores of every image with either context: ``{context: {score: values}}``."""
    found = {}
    for context in CONTEXTS:
        restored = model.predict(list(lows), "YX", normalizer, context=context)
        scores = [CARE(truth, image) for truth, image in zip(truths, restored, strict=True)]
        found[context] = {name: [score[name] for score in scores] for name in ("psnr", "ssim")}
    return found


def paired(before, after):
    """Mean of the paired differences, half their 95 % interval (Student's t), and how many are above 0."""
    difference = np.subtract(after, before)
    n = len(difference)
    error = difference.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
    return difference.mean(), student.ppf(0.975, max(n - 1, 1)) * error, int((difference > 0).sum())


def images_table(found):
    """Markdown table, one line a score."""
    lines = []
    for name, title in (("psnr", "PSNR (dB)"), ("ssim", "SSIM")):
        own, group = (found[context][name] for context in CONTEXTS)
        mean, half, better = paired(own, group)
        lines.append([title, f"{np.mean(own):.4f}", f"{np.mean(group):.4f}", f"{mean:+.4f} ± {half:.4f}"])
        lines[-1].append(f"{better} of {len(own)}")
    return markdown(["score", "image", "group", "difference (95 %)", "better with group"], lines)


class Scene(NamedTuple):
    """What a time lapse shows: the signal, and gain and offset of the variance of its noise, at least ``floor``."""

    low: np.ndarray
    signal: np.ndarray
    gain: float
    offset: float
    floor: float

    def frame(self, left, rng):
        """A noisy frame, and its signal, of which ``left`` of what is above the darkest is left."""
        dark = self.signal.min()
        signal = dark + left * (self.signal - dark)
        deviation = np.sqrt(np.maximum(self.gain * signal + self.offset, self.floor))
        noisy = signal + deviation * rng.standard_normal(signal.shape)
        return np.clip(np.round(noisy), 0, 255).astype("float32"), signal

    def describe(self, rng):
        """The noise, and how a simulated frame compares with the real one."""
        real, simulated = (CARE(self.signal, image)["psnr"] for image in (self.low, self.frame(1, rng)[0]))
        line = f"noise of variance {self.gain:.3f} * signal {self.offset:+.1f}, at least {self.floor:.1f}; "
        return line + f"input PSNR {real:.2f} dB real, {simulated:.2f} dB simulated"


def fit_scene(low, truth):
    """The scene of a pair of W2S, see above."""
    slope, intercept = np.polyfit(truth.ravel().astype("float64"), low.ravel(), 1)
    signal = slope * truth + intercept
    order = np.argsort(signal, axis=None, kind="stable")
    residual = (low - signal).ravel()[order]
    signals = np.array([part.mean() for part in np.array_split(signal.ravel()[order], BINS)])
    variances = np.array([part.var() for part in np.array_split(residual, BINS)])
    # The standard error of a variance is in proportion to it.
    gain, offset = np.polyfit(signals, variances, 1, w=1 / np.maximum(variances, 1e-12))
    return Scene(low, signal, float(gain), float(offset), float(variances[0]))


def measure_lapses(model, normalizer, scene, count, rng):
    """A row for the frames as they are, and for each way to restore them, of both lapses."""
    from csbdeep.data import PercentileNormalizer

    from aeanet_tf.models.normalizers import RangeNormalizer

    if not isinstance(normalizer, PercentileNormalizer):
        raise InputError("--model: expected one trained on images normalised by percentiles")
    rows = []
    for lapse, final in (("steady", 1.0), ("bleaching", 0.5)):
        frames, signals = zip(*(scene.frame(final ** (i / (count - 1)), rng) for i in range(count)), strict=True)
        frames, fixed = np.stack(frames), np.percentile(frames[0], (normalizer.pmin, normalizer.pmax))
        rows.append({"lapse": lapse, "percentiles": "–", "context": "(input)", **describe(frames, signals)})
        ways = (("each frame's", normalizer), ("the first's", RangeNormalizer(*fixed)))
        for (percentiles, chosen), context in product(ways, CONTEXTS):
            restored = model.predict(frames, "TYX", chosen, context=context)
            row = {"lapse": lapse, "percentiles": percentiles, "context": context}
            rows.append({**row, **describe(restored, signals)})
    return rows


def describe(frames, signals):
    """The numbers of a lapse, see above, and the ratio restored / true for each frame."""
    ratio = np.array([f.mean(dtype="float64") / s.mean() for f, s in zip(frames, signals, strict=True)])
    return {
        "ratio": ratio.tolist(),
        "variation": ratio.std(ddof=1) / ratio.mean(),
        "pixel_variation": frames.std(0, ddof=1, dtype="float64").mean() / np.ptp(signals[0]),
        "psnr": float(np.mean([CARE(s, f)["psnr"] for f, s in zip(frames, signals, strict=True)])),
    }


def lapses_table(rows):
    """Markdown table, one line for each way to restore a lapse."""
    lines = []
    for row in rows:
        pixels = f"{row['pixel_variation']:.3%}" if row["lapse"] == "steady" else "–"
        line = [row["lapse"], row["percentiles"], row["context"], f"{row['ratio'][0]:.4f}", f"{row['ratio'][-1]:.4f}"]
        lines.append([*line, f"{row['variation']:.4%}", pixels, f"{row['psnr']:.3f}"])
    header = ["lapse", "percentiles", "context", "restored / true: first", "last", "variation"]
    return markdown([*header, "variation of pixels", "PSNR (dB)"], lines)


def draw(path, rows):
    """Mean intensity by the true one, scaled to mean 1, over the frames: a panel for each lapse and normalisation."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.5), layout="constrained")
    lines = {"(input)": ":", "image": "-", "group": "--"}
    chosen = list(dict.fromkeys((row["lapse"], row["percentiles"]) for row in rows if row["percentiles"] != "–"))
    for axes, (lapse, percentiles) in zip(figure.subplots(2, 2).flat, chosen, strict=True):
        for row in rows:
            context = row["context"]
            if row["lapse"] == lapse and row["percentiles"] in ("–", percentiles):
                frames = range(1, len(row["ratio"]) + 1)
                axes.plot(frames, np.divide(row["ratio"], np.mean(row["ratio"])), lines[context], label=context)
        axes.set(title=f"{lapse}, {percentiles} percentiles", xlabel="frame", ylabel="mean intensity / true, scaled")
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


if __name__ == "__main__":
    run_script(main)
