"""What reports say of good and of bad data and trainings."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from aeanet_tf.reports.agreement import agreement
from aeanet_tf.reports.facts import (
    INTERPOLATION,
    RESTORATION,
    SEGMENTATION,
    Example,
    TrainingFacts,
    restoration_scores,
    segmentation_scores,
)
from aeanet_tf.reports.findings import findings

NOISE = 0.2


def truth(seed, shape=(96, 96)):
    """Spots of many sizes, 0 to about 1."""
    rng = np.random.default_rng(seed)
    image = sum(gaussian_filter(rng.random(shape) ** 40, size) * size for size in (1.0, 2.0, 4.0))
    return ((image - image.min()) / np.ptp(image)).astype("float32")


def noisy(seed, shape):
    """Input and truth of a specimen."""
    y = truth(seed, shape)
    return y + np.random.default_rng(100 + seed).normal(0, NOISE, y.shape).astype("float32"), y


def pairs(change=lambda x, y: (x, y), count=6, shape=(96, 96)):
    """Noisy inputs with their truths, changed."""
    made = []
    for seed in range(count):
        made.append(Example(f"image{seed}.tif", *change(*noisy(seed, shape))))
    return made


def facts(examples, shown=None, kind=RESTORATION, counts=(60, 10), history=(), **others):
    shown = examples[:4] if shown is None else shown
    return TrainingFacts("m", kind, "YX", examples, shown, counts, history, 100, **others)


def titles(of):
    return [finding.title for finding in findings(of)]


def rows(losses, validation):
    pairs = zip(losses, validation, strict=True)
    return [{"epoch": i, "loss": loss, "val_loss": val} for i, (loss, val) in enumerate(pairs)]


def test_nothing_is_said_of_good_data():
    good = pairs()
    for example in good:
        example.best = example.last = example.truth + 0.3 * (example.input - example.truth)
    falling = rows(np.geomspace(1, 0.1, 12), np.geomspace(1, 0.15, 12))
    of = facts(good, history=falling)
    of.scores = restoration_scores(of.shown)
    assert findings(of) == []
    assert titles(replace(of, adversarial=True)) == ["Textures are invented"]
    assert findings(facts(pairs(shape=(12, 64, 64)), history=falling)) == []


@pytest.mark.parametrize("shape", [(96, 96), (12, 64, 64)])
def test_shifted_pairs_are_told_with_their_shift(shape):
    moved = (0,) * (len(shape) - 2) + (3, -8)
    back = tuple(-n for n in moved)

    def shifted(x, y):
        return x, np.roll(y, moved, range(len(shape)))

    found = findings(facts(pairs(shifted, shape=shape)))
    assert [finding.title for finding in found] == ["Input and ground truth are shifted"]
    # Moving the truth back by what it was moved makes it fit.
    assert "moved by -3 along Y, +8 along X" in found[0].text
    example = pairs(shifted, 1, shape)[0]
    assert agreement(example.input, example.truth).shift == back


@pytest.mark.parametrize("moved, text", [([8], "-8 along X"), ([8, -6, 4], "elsewhere, up to 8 pixels away")])
def test_a_few_shifted_pairs_are_told_among_good_ones(moved, text):
    examples = pairs()
    for i, n in enumerate(moved):
        examples[i].truth = np.roll(examples[i].truth, n, 1)
    (found,) = findings(facts(examples, examples[-2:]))
    assert found.title == "Input and ground truth are shifted"
    assert f"In {len(moved)} of 8 pairs, image0.tif" in found.text and text in found.text


def test_planes_that_are_one_apart():
    found = findings(facts(pairs(lambda x, y: (x, np.roll(y, 1, 0)), shape=(12, 64, 64))))
    assert [finding.title for finding in found] == ["Input and ground truth are shifted"]
    assert "moved by -1 along Z, in pixels" in found[0].text


@pytest.mark.parametrize(
    "turned, text",
    [
        (lambda y: y[:, ::-1], "mirrored along X"),
        (lambda y: np.rot90(y, 3), "turned by 90 degrees"),
        (lambda y: y.T, "X and Y exchanged"),
    ],
)
def test_truths_that_are_mirrored_or_turned(turned, text):
    (found,) = findings(facts(pairs(lambda x, y: (x, turned(y)))))
    assert found.title == "Ground truth is mirrored or turned" and text in found.text


def test_opposite_contrast():
    assert titles(facts(pairs(lambda x, y: (x, 1 - y)))) == ["Input and ground truth have opposite contrast"]


def test_very_noisy_inputs_show_their_own_truth():
    def drowned(x, y):
        return x + np.random.default_rng(int(1e6 * x.max())).normal(0, 3, x.shape).astype("float32"), y

    examples = pairs(drowned, shape=(256, 256))
    assert 0.1 < np.median([agreement(e.input, e.truth).unshifted for e in examples]) < 0.2
    assert titles(facts(examples)) == []


def test_an_empty_pair_is_not_one_of_another_specimen():
    examples = pairs()
    examples[0].truth = 0.05 * examples[0].truth[::-1]
    assert titles(facts(examples, examples[-2:])) == []


def test_truths_of_another_specimen():
    examples = pairs()
    others = [Example(e.name, e.input, o.truth) for e, o in zip(examples, examples[1:] + examples[:1], strict=True)]
    assert titles(facts(others)) == ["Input and ground truth show different things"]


def test_two_truths_that_are_exchanged():
    examples = pairs()
    examples[1].truth, examples[4].truth = examples[4].truth, examples[1].truth
    (found,) = findings(facts(examples, examples[-1:]))
    assert found.title == "Input and ground truth show different things"
    assert "In 2 of 7 pairs looked at the ground truth does not fit the input: image1.tif, image4.tif" in found.text
    assert "The input of image1.tif fits the ground truth of image4.tif." in found.text


def test_truths_that_are_the_inputs():
    assert titles(facts(pairs(lambda x, y: (x, x)))) == ["Input and ground truth are the same"]
    assert titles(facts(pairs(lambda x, y: (x, 3 * x + 0.01 * y)))) == ["Input and ground truth are the same"]
    examples = pairs()
    examples[1].truth = examples[1].input
    (found,) = findings(facts(examples, examples[-2:]))
    assert "In 1 of 8 pairs looked at the ground truth equals the input: image1.tif" in found.text


def test_constant_truths_and_inputs():
    assert titles(facts(pairs(lambda x, y: (x, 0 * y)))) == ["Ground truth without contrast"]
    found = findings(facts([*pairs(), *pairs(lambda x, y: (0 * x + 3, y), 1)]))
    assert [finding.title for finding in found] == ["Inputs without contrast"]
    assert "1 of 11 images" in found[0].text and "image0.tif" in found[0].text


@pytest.mark.parametrize("gain, told", [(1.0, False), (1.6, False), (5.0, True), (0.2, True)])
def test_truths_of_another_scale(gain, told):
    found = findings(facts(pairs(lambda x, y: (x, gain * y - 2))))
    assert [finding.title for finding in found] == ["Ground truth of another intensity scale"] * told
    if told:
        assert f"{1 / gain:.2g} times as bright" in found[0].text


def test_saturated_inputs():
    def cut(x, y):
        return np.minimum(x, np.percentile(x, 95)), y

    found = findings(facts(pairs(cut)))
    assert [finding.title for finding in found] == ["Saturated inputs"] and "up to 5." in found[0].text
    # Few grey values are no saturation: labels, thresholded images.
    assert titles(facts(pairs(lambda x, y: ((x > 0.5).astype("float32"), y)))) == []
    # The highest of some 30 grey values is not rarer than its neighbours.
    assert titles(facts(pairs(lambda x, y: (np.round(10 * np.tanh(x)), 5 * y)))) == []


LITTLE, FEW = "Little to validate on", "Little to train on"


@pytest.mark.parametrize(
    "counts, pixels, told",
    [
        ((60, 10), (1 << 20, 1 << 15), []),
        ((60, 2), (1 << 20, 1 << 20), [LITTLE]),
        ((60, 10), (1 << 20, 1 << 14), [LITTLE]),
        ((2, 1), (1 << 19, 1 << 18), [LITTLE, FEW]),
        # A large volume, and many small patches.
        ((1, 3), (1 << 24, 1 << 20), []),
        ((60, 10), (1 << 16, 1 << 15), []),
    ],
)
def test_little_data(counts, pixels, told):
    assert titles(facts(pairs(), counts=counts, pixels=pixels)) == told


def test_images_that_are_trained_and_validated_on():
    (found,) = findings(facts(pairs(), copies=3))
    assert found.title == "Validated on what it is trained on" and "3 of 10 images" in found.text


def test_a_model_that_a_filter_beats_is_told():
    examples = pairs()
    for example in examples:
        example.best = example.last = gaussian_filter(example.input, 0.5)
    of = facts(examples, running=False)
    of.scores = restoration_scores(of.shown)
    assert set(of.scores) == {"input", "best weights", "last weights"} | {k for k in of.scores if "Gaussian" in k}
    assert titles(of) == ["No better than a filter"]


def test_flat_predictions():
    examples = pairs()
    for example in examples:
        example.best = example.last = np.full_like(example.truth, 0.3) + 0.01 * example.truth
    assert titles(facts(examples)) == ["Flat predictions"]


@pytest.mark.parametrize(
    "losses, validation, told",
    [
        ([1, 0.5, np.nan], [1, 0.6, np.nan], ["The training diverged"]),
        ([1, 0.5, 0.4], [1, np.inf, 0.5], ["The training diverged"]),
        ([1, 0.5, 40], [1, 0.6, 50], ["The loss exploded"]),
        (np.geomspace(1, 0.1, 10), [1, 0.5, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75], ["Over-fitting"]),
        # A loss that has come to rest, and one that rises by less than it has fallen.
        (np.geomspace(1, 0.1, 10), [1, 0.5, 0.4, 0.41, 0.4, 0.42, 0.41, 0.4, 0.41, 0.41], []),
        ([-1, -2, -2.5], [-1, -1.9, -2.3], []),
    ],
)
def test_histories(losses, validation, told):
    assert titles(facts(pairs(), history=rows(losses, validation))) == told


def test_segmentation():
    image, labels = truth(0), (truth(0) > 0.3).astype("int64")
    example = Example("a.tif", image, labels, best=0 * labels, last=labels)
    of = facts([example], [example] * 4, SEGMENTATION, classes={0: "class 0", 1: "class 255", 2: "class 7"})
    of.scores = segmentation_scores(of.shown)
    share = 100 * (labels == 0).mean()
    assert of.scores == {
        "class 0 everywhere": pytest.approx(share),
        "best weights": pytest.approx(share),
        "last weights": 100,
    }
    assert set(segmentation_scores(of.shown, {0: "background"})) == {"background everywhere", *list(of.scores)[1:]}
    assert titles(of) == ["Classes that are not there", "No better than one class everywhere"]
    assert "class 7" in findings(of)[0].text
    right = replace(
        of, shown=[Example("a.tif", image, labels, best=labels)] * 4, classes={0: "class 0", 1: "class 255"}
    )
    right.scores = segmentation_scores(right.shown)
    assert findings(right) == []


def test_slices_are_not_compared_with_their_neighbours():
    examples = pairs(lambda x, y: (np.roll(x, 20, 0), y))
    assert titles(facts(examples, kind=INTERPOLATION)) == []


def test_scores_leave_out_what_has_no_contrast():
    assert restoration_scores(pairs(lambda x, y: (x, 0 * y))) == {}
    projected = Example("a", np.stack([truth(0), 0 * truth(0)]), truth(0), best=truth(0))
    scores = restoration_scores([projected])
    # The maximum along the lost axis is the truth here.
    assert min(scores["input"], scores["best weights"]) > 90 and "last weights" not in scores


def test_without_ground_truth_only_the_images_are_judged():
    noisy = pairs()
    for example in noisy:
        # A truth that would be called another one, and flat predictions.
        example.truth = np.roll(example.input, 17, axis=-1)
        example.best = example.last = np.zeros_like(example.input)
    assert titles(facts(noisy, target="noise2void")) == titles(facts(noisy, target="noise2noise")) == []
    assert titles(facts(noisy)) != []
    for example in noisy[:3]:
        example.truth = example.input.copy()
    assert titles(facts(noisy, target="noise2noise")) == ["The two images of a pair are the same"]
    assert titles(facts(noisy, target="noise2void")) == []
