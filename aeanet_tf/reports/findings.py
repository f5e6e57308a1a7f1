"""What is wrong with a training or its data, in plain words: each with what was measured and what to do.

The limits are ours; each is far from what good data give (docs/training.md, "The report").
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from aeanet_tf.reports.facts import INTERPOLATION, RESTORATION, SEGMENTATION, Example, Finding, TrainingFacts
from aeanet_tf.reports.pair_findings import flat_truths, named, of_truths

_FEW_IMAGES, _FEW_PIXELS = 3, 1 << 15
# Fewer images than that are enough where they are large: CARE's notebooks train on millions of pixels.
_FEW_TO_TRAIN, _FEW_PIXELS_TO_TRAIN = 5, 1 << 20
# A share of pixels at an image's highest value.
_SATURATED = 0.01
# Of an image's range, what is looked at below that value.
_BELOW = 0.05
_FLAT = 0.1
_INVENTED = Finding(
    "Textures are invented",
    "The model was trained adversarially: its fine textures look as in recorded images and are not those of the "
    "specimen, also where the picture is convincing. Measure nothing in them. The best weights are those of the lowest "
    "validation loss, which the discriminator has no part in; --weights last predicts with those at the end.",
)


def data_findings(facts: TrainingFacts) -> list[Finding]:
    """What a user should look at in the data, the worst first: what no training changes.

    Args:
        facts: of the training.
    """
    pairs = [*facts.examples, *facts.shown]
    found = []
    if not facts.has_truth:
        found += _of_noisy_pairs(facts)
    elif facts.kind == RESTORATION:
        found += of_truths(pairs)
    elif facts.kind == SEGMENTATION:
        found += _missing_classes(facts)
    elif facts.kind == INTERPOLATION:
        found += flat_truths(pairs)
    return [*found, *_of_inputs(pairs), *_of_amounts(facts)]


def training_findings(facts: TrainingFacts) -> list[Finding]:
    """What a user should look at in the history and the predictions, the worst first.

    Args:
        facts: of the training, with scores.
    """
    found = [*_of_history(facts), *([_INVENTED] if facts.adversarial else [])]
    if facts.kind == RESTORATION and facts.has_truth:
        found += _of_predictions(facts)
    elif facts.kind == SEGMENTATION:
        found += _no_better_than_one_class(facts)
    return found


def findings(facts: TrainingFacts) -> list[Finding]:
    """All findings, those of the data first; empty where nothing is suspicious."""
    return [*data_findings(facts), *training_findings(facts)]


def _of_noisy_pairs(facts) -> Iterator[Finding]:
    pairs = [*facts.examples, *facts.shown] if facts.target == "noise2noise" else []
    same = [pair.name for pair in pairs if np.array_equal(pair.input, pair.truth)]
    if same:
        yield Finding(
            "The two images of a pair are the same",
            f"In {len(same)} of {len(pairs)} pairs looked at: {named(same)}. From these the network learns to keep the "
            "noise. noise2noise takes two recordings of the same; of single images learn with noise2void.",
        )


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
        yield Finding("Inputs without contrast", f"{_count(constant, pairs)} constant: {named(constant)}.")
    saturated = {pair.name: share for pair in pairs if (share := _at_the_top(pair.input)) > _SATURATED}
    if saturated:
        most = max(saturated.values())
        yield Finding(
            "Saturated inputs",
            f"{_count(saturated, pairs)} saturated, up to {100 * most:.1f} % of the pixels at the highest value: "
            f"{named(saturated)}. What the detector cut off cannot be restored; lower its gain or the exposure.",
        )


def _at_the_top(image):
    """Share of the pixels at the highest value, where that is a plateau and not a class of a sparse image."""
    lowest, highest = float(image.min()), float(image.max())
    top = float((image == highest).mean())
    if highest == lowest or top <= _SATURATED:
        return 0.0
    # What a saturated detector cuts off heaps up; of few grey values the highest is as common as those below.
    below = float((image >= highest - _BELOW * (highest - lowest)).mean()) - top
    return top if top > below and len(np.unique(image[:: max(1, len(image) // 64)])) > 8 else 0.0


def _of_amounts(facts) -> Iterator[Finding]:
    train, held = facts.counts
    pixels, held_pixels = facts.pixels or (math.inf, math.inf)
    if facts.copies:
        yield Finding(
            "Validated on what it is trained on",
            f"{facts.copies} of {held} images to validate on are images to train on. The validation loss then says "
            "little of new images, and the best weights are chosen by what was learned by heart. Hold out images that "
            "are not trained on.",
        )
    if held < _FEW_IMAGES or held_pixels < _FEW_PIXELS:
        yield Finding(
            "Little to validate on",
            f"{_amount(held, held_pixels)}. Scores of so little say little, and the best weights are chosen by them. "
            "Hold out more images (data.validation_split), or acquire more.",
        )
    if train < _FEW_TO_TRAIN and pixels < _FEW_PIXELS_TO_TRAIN:
        yield Finding(
            "Little to train on",
            f"{_amount(train, pixels)}. A network learns so little by heart. Acquire more images, or larger ones, and "
            "set augment=true.",
        )


def _amount(images, pixels):
    size = f" of {pixels:,} pixels together" if math.isfinite(pixels) else ""
    return f"{images} image{'s' if images != 1 else ''}{size}"


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


def _missing_classes(facts) -> Iterator[Finding]:
    seen = set(np.unique(np.concatenate([example.truth.ravel() for example in facts.examples])).tolist())
    missing = [name for index, name in facts.classes.items() if index not in seen]
    if missing:
        yield Finding(
            "Classes that are not there",
            f"In the training patches looked at there is no pixel of {', '.join(missing)}. What is not shown cannot be "
            "learned.",
        )


def _no_better_than_one_class(facts) -> Iterator[Finding]:
    everywhere = max((score for label, score in facts.scores.items() if label.endswith("everywhere")), default=None)
    model = facts.scores.get("best weights")
    if model is not None and everywhere is not None and not model > everywhere:
        yield Finding(
            "No better than one class everywhere",
            f"{model:.1f} % of the pixels are right, and {everywhere:.1f} % would be with the commonest class "
            "everywhere. Train longer, or set training.class_weights.",
        )


def _count(found, pairs):
    return f"{len(found)} of {len(pairs)} images looked at {'is' if len(found) == 1 else 'are'}"
