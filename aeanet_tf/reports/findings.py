"""What is wrong with a training or its data, in plain words: each with what was measured and what to do.

The limits are ours; each is far from what good data give (docs/training.md, "The report").
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.fft import irfftn, next_fast_len, rfftn
from scipy.ndimage import gaussian_filter

from aeanet_tf.reports.facts import INTERPOLATION, RESTORATION, SEGMENTATION, Example, TrainingFacts

# Images are smoothed before they are compared: a structure is compared, not its noise.
_SMOOTH = 2.0
# Pixels that input and truth may be apart: registration is rarely better.
_APART = 1.5
# Pixels by which pairs may differ in that.
_SPREAD = 2.0
# What a correlation has to gain by a shift, or what share of its rest may be left; what structures have in common.
_GAIN, _LEFT, _ALIKE = 0.05, 0.7, 0.2
_FEW_IMAGES, _FEW_PIXELS = 3, 1 << 15
# A share of pixels at an image's highest value.
_SATURATED = 0.01
_SCALE = 2.0
_FLAT = 0.1


class Finding(NamedTuple):
    """``title``, a few words; ``text``, what was measured and what to do about it."""

    title: str
    text: str


class Agreement(NamedTuple):
    """How input and truth of a pair lie: ``shift`` (pixels an axis) by which the truth fits best, the correlation
    there, and that without a shift; of smoothed images."""

    shift: tuple[int, ...]
    shifted: float
    unshifted: float


def findings(facts: TrainingFacts) -> list[Finding]:
    """What a user should look at, the worst first; empty where nothing is suspicious.

    Args:
        facts: of the training, with scores.
    """
    pairs = [*facts.examples, *facts.shown]
    found = [*_of_history(facts), *_of_inputs(pairs), *_of_validation(facts)]
    if facts.kind == RESTORATION:
        found += [*_of_truths(pairs), *_of_predictions(facts)]
    elif facts.kind == SEGMENTATION:
        found += _of_classes(facts)
    elif facts.kind == INTERPOLATION:
        found += _flat_truths(pairs)
    return found


def _of_history(facts) -> Iterator[Finding]:
    rows = facts.history
    losses = [(row["epoch"] + 1, row["loss"]) for row in rows if "loss" in row]
    broken = [epoch for epoch, loss in losses if not math.isfinite(loss)]
    broken += [row["epoch"] + 1 for row in rows if not math.isfinite(row.get("val_loss", 0.0))]
    if broken:
        yield Finding(
            "The training diverged",
            f"The loss is not a number from validation {min(broken)} on. Lower learning_rate (a third of it), or set "
            "clip_norm to 1.",
        )
        return
    lowest = math.inf
    for epoch, loss in losses:
        if lowest > 0 and loss > 10 * lowest:
            yield Finding(
                "The loss exploded",
                f"At validation {epoch} the training loss was {loss:.3g}, after {lowest:.3g} before. Lower "
                "learning_rate, or set clip_norm to 1.",
            )
            break
        lowest = min(lowest, loss)
    yield from _overfitted([row for row in rows if "val_loss" in row and "loss" in row])


def _overfitted(rows):
    if len(rows) < 5:
        return
    values = [row["val_loss"] for row in rows]
    best = int(np.argmin(values))
    spread = max(values[: best + 1]) - values[best]
    risen = values[-1] - values[best]
    if best < 0.6 * len(rows) and rows[-1]["loss"] < rows[best]["loss"] and risen > 0.1 * spread > 0:
        yield Finding(
            "Over-fitting",
            f"The validation loss was lowest at validation {rows[best]['epoch'] + 1} of {len(rows)} "
            f"({values[best]:.3g}) and has risen to {values[-1]:.3g}, while the training loss fell on. The best "
            "weights are kept. More images, augment=true or fewer steps help.",
        )


def _of_inputs(pairs: Sequence[Example]) -> Iterator[Finding]:
    constant = [pair.name for pair in pairs if np.ptp(pair.input) == 0]
    if constant:
        yield Finding("Inputs without contrast", f"{_count(constant, pairs)} constant: {_names(constant)}.")
    saturated = {pair.name: share for pair in pairs if (share := _at_the_top(pair.input)) > _SATURATED}
    if saturated:
        most = max(saturated.values())
        yield Finding(
            "Saturated inputs",
            f"{_count(saturated, pairs)} saturated, up to {100 * most:.1f} % of the pixels at the highest value: "
            f"{_names(saturated)}. What the detector cut off cannot be restored; lower its gain or the exposure.",
        )


def _at_the_top(image):
    """Share of the pixels at the highest value, where that is a plateau and not a class of a sparse image."""
    if np.ptp(image) == 0:
        return 0.0
    top = image == image.max()
    # The plateau of a saturated detector is far above the middle; an image of few values has none.
    return float(top.mean()) if len(np.unique(image[:: max(1, len(image) // 64)])) > 8 else 0.0


def _of_validation(facts) -> Iterator[Finding]:
    images, pixels = facts.counts[1], sum(example.truth.size for example in facts.shown)
    if images < _FEW_IMAGES or pixels < _FEW_PIXELS:
        what = f"{images} image{'s' if images != 1 else ''}, {pixels:,} pixels of them shown here"
        yield Finding(
            "Little to validate on",
            f"{what}. Scores of so little say little, and the best weights are chosen by them. Hold out more images "
            "(data.validation_split), or acquire more.",
        )


def _flat_truths(pairs):
    flat = [pair.name for pair in pairs if np.ptp(pair.truth) == 0]
    if flat:
        yield Finding(
            "Ground truth without contrast",
            f"In {len(flat)} of {len(pairs)} pairs looked at the ground truth is constant: {_names(flat)}. There is "
            "nothing to learn from these.",
        )


def _of_truths(pairs) -> Iterator[Finding]:
    yield from _flat_truths(pairs)
    pairs = [pair for pair in pairs if np.ptp(pair.truth) > 0 and np.ptp(pair.flat_input) > 0]
    if not pairs:
        return
    same = [pair.name for pair in pairs if np.allclose(pair.flat_input, pair.truth, atol=1e-4 * np.ptp(pair.truth))]
    if len(same) > len(pairs) / 2:
        yield Finding(
            "Input and ground truth are the same",
            f"In {len(same)} of {len(pairs)} pairs looked at the ground truth equals the input: {_names(same)}. The "
            "network learns to change nothing. Are the folders the right ones?",
        )
        return
    agreements = [_measured(pair) for pair in pairs]
    shift = np.median([found.shift for found in agreements], axis=0)
    # Of images that show different things the best places are anywhere.
    agreeing = [found for found in agreements if np.abs(found.shift - shift).max() <= _SPREAD]
    before, after = (
        np.median([getattr(found, name) for found in agreeing] or [0]) for name in ("unshifted", "shifted")
    )
    if len(agreeing) > len(pairs) / 2 and math.hypot(*shift) > _APART and _better(after, before):
        where = ", ".join(f"{n:+g} along {axis}" for n, axis in zip(shift, "ZYX"[-len(shift) :], strict=True) if n)
        yield Finding(
            "Input and ground truth are shifted",
            f"In {len(agreeing)} of {len(pairs)} pairs the ground truth fits better where it is moved by {where}, in "
            f"pixels (correlation {after:.2f} instead of {before:.2f}). Register the pairs: a network trained on "
            "shifted ones blurs.",
        )
        return
    alike = float(np.median([found.unshifted for found in agreements]))
    if alike < _ALIKE:
        yield Finding(
            "Input and ground truth show different things",
            f"The correlation of input and ground truth is {alike:.2f} in the median of {len(pairs)} pairs, expected "
            f"at least {_ALIKE}. Are the files paired rightly? For very noisy inputs a weak correlation may be right.",
        )
        return
    yield from _of_scales(pairs)


def _measured(pair):
    if pair.agreement is None:
        pair.agreement = agreement(pair.flat_input, pair.truth)
    return pair.agreement


def _better(after, before):
    """Whether a correlation says more, by its size or by what is left unexplained."""
    return after > before + _GAIN or 1 - after < _LEFT * (1 - before)


def _of_scales(pairs):
    gains = []
    for pair in pairs:
        x, y = pair.flat_input - pair.flat_input.mean(), pair.truth - pair.truth.mean()
        # The input on the truth, which has the less noise of the two.
        gains.append(float((x * y).sum() / (y * y).sum()))
    gain = float(np.median(gains))
    if gain > 0 and not 1 / _SCALE < gain < _SCALE:
        yield Finding(
            "Ground truth of another intensity scale",
            f"As the network sees them, the structures of the inputs are {gain:.2g} times as bright as those of the "
            "ground truth. Predictions have the intensities of the ground truth; if those of the input are wanted, "
            "set data.match_targets=true.",
        )


def _of_predictions(facts) -> Iterator[Finding]:
    known = [example for example in facts.shown if example.best is not None and np.ptp(example.truth) > 0]
    if known:
        ratio = float(np.median([np.std(example.best) / np.std(example.truth) for example in known]))
        if ratio < _FLAT:
            yield Finding(
                "Flat predictions",
                f"The predictions vary by {100 * ratio:.0f} % of what the ground truth does. The training has hardly "
                "begun, or failed: more steps, or another learning_rate.",
            )
    others = {label: score for label, score in facts.scores.items() if not label.endswith("weights")}
    model = facts.scores.get("best weights", facts.scores.get("last weights"))
    if model is not None and others:
        label, score = max(others.items(), key=lambda pair: pair[1])
        if not model > score:
            yield Finding(
                "No better than a filter",
                f"On the validation images shown, {label} reaches {score:.2f} dB and the model {model:.2f} dB. "
                + (
                    "It may need more steps."
                    if facts.running
                    else "Train longer, or with more data; until then use the filter."
                ),
            )


def _of_classes(facts) -> Iterator[Finding]:
    seen = set(np.unique(np.concatenate([example.truth.ravel() for example in facts.examples])).tolist())
    missing = [name for index, name in facts.classes.items() if index not in seen]
    if missing:
        yield Finding(
            "Classes that are not there",
            f"In the training patches looked at there is no pixel of {', '.join(missing)}. What is not shown cannot be "
            "learned.",
        )
    everywhere = max((score for label, score in facts.scores.items() if label.endswith("everywhere")), default=None)
    model = facts.scores.get("best weights")
    if model is not None and everywhere is not None and not model > everywhere:
        yield Finding(
            "No better than one class everywhere",
            f"{model:.1f} % of the pixels are right, and {everywhere:.1f} % would be with the commonest class "
            "everywhere. Train longer, or set training.class_weights.",
        )


def agreement(image: np.ndarray, truth: np.ndarray) -> Agreement:
    """Where the truth fits the image best, up to a quarter of each side away.

    Both are smoothed by a Gaussian of 2 pixels in the plane. The place is the highest cross-correlation, the
    correlations are Pearson's over what overlaps.

    Args:
        image, truth: 2D or 3D, of one shape.

    Returns:
        The shift by which ``truth`` has to be moved to lie on ``image``.
    """
    widths = [0.0] * (truth.ndim - 2) + [_SMOOTH] * 2
    a, b = (gaussian_filter(np.asarray(each, np.float64), widths) for each in (image, truth))
    shape = [next_fast_len(2 * n, real=True) for n in a.shape]
    spectra = [rfftn(each - each.mean(), shape) for each in (a, b)]
    correlation = irfftn(spectra[0] * spectra[1].conj(), shape)
    most = [n // 4 for n in a.shape]
    places = np.ix_(*(np.arange(-m, m + 1) % n for m, n in zip(most, shape, strict=True)))
    found = np.unravel_index(correlation[places].argmax(), [2 * m + 1 for m in most])
    shift = _climbed(a, b, tuple(int(place) - m for place, m in zip(found, most, strict=True)), most)
    return Agreement(shift, _pearson(a, b, shift), _pearson(a, b, (0,) * a.ndim))


def _climbed(a, b, shift, most):
    """The shift to which Pearson's correlation rises: the cross-correlation prefers small ones, where more overlaps."""
    known = {shift: _pearson(a, b, shift)}
    while True:
        for axis in range(a.ndim):
            for step in (-1, 1):
                near = (*shift[:axis], shift[axis] + step, *shift[axis + 1 :])
                if near not in known and abs(near[axis]) <= most[axis]:
                    known[near] = _pearson(a, b, near)
        best = max(known, key=known.get)
        if best == shift:
            return shift
        shift = best


def _pearson(a, b, shift):
    """Correlation of ``a`` with ``b`` moved by ``shift``, over what overlaps."""
    ours = tuple(slice(max(0, s), n + min(0, s)) for s, n in zip(shift, a.shape, strict=True))
    theirs = tuple(slice(max(0, -s), n + min(0, -s)) for s, n in zip(shift, a.shape, strict=True))
    x, y = a[ours] - a[ours].mean(), b[theirs] - b[theirs].mean()
    norm = math.sqrt(float((x * x).sum()) * float((y * y).sum()))
    return float((x * y).sum()) / norm if norm else 0.0


def _count(found, pairs):
    return f"{len(found)} of {len(pairs)} images looked at {'is' if len(found) == 1 else 'are'}"


def _names(found, most=3):
    names = list(dict.fromkeys(found))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
