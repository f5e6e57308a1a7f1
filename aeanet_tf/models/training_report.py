"""The report of a training while it runs: pairs and predictions are looked at after each validation."""

import logging
import math
import platform
import shlex
import time
from importlib.metadata import version

import keras
import numpy as np

from aeanet_tf.errors import WriteError
from aeanet_tf.models.adversarial import adversarial_section
from aeanet_tf.models.hardware import hardware
from aeanet_tf.models.next_commands import commands_after_training
from aeanet_tf.reports.facts import (
    INTERPOLATION,
    RESTORATION,
    SEGMENTATION,
    Example,
    TrainingFacts,
    baseline_scores,
    restoration_scores,
    segmentation_scores,
)
from aeanet_tf.reports.page import PAGE, write_report
from aeanet_tf.training import read_history
from aeanet_tf.training.copies import shared_images

logger = logging.getLogger("aeanet_tf")

EXAMPLES, SHOWN = 8, 3
# Of a side.
_SIDE = {2: 512, 3: 128}
# Share of the time of the training that reports may take before its end.
_SHARE = 0.05
_CROPS = 4


class TrainingReport(keras.callbacks.Callback):
    """Callback: ``report.html`` and ``report.png`` in the folder of a model, renewed after validations.

    Before the end it is renewed only while all reports together take less than a twentieth of the training's time.
    `finish` writes it a last time, when the model has its best weights.

    Args:
        model: an `AEANet` with a folder; its network has the weights of the epoch when this callback is called.
        sampler, validation: its `PatchSampler` and `ValidationSet`.
        names: of the images to train on and of those to validate on, as far as there are any.
        pixel_size, unit: of the images, where they are known.
        ended: whether the training has ended before, so that its time is not known.
    """

    def __init__(self, model, sampler, validation, names=((), ()), pixel_size=None, unit=None, ended=False):
        super().__init__()
        # Keras gives a callback the network as ``model``.
        self.owner, self.sampler, self.validation, self.names = model, sampler, validation, names
        self.pixel_size, self.unit, self.ended = dict(pixel_size or {}), unit, ended
        self.started, self.spent, self.lowest = time.monotonic(), 0.0, math.inf
        self.examples = self.shown = self.findings = self.baselines = self.of_data = None
        self.stale = False

    def on_train_begin(self, logs=None):
        """Look at the data, once."""
        if self.examples is None:
            started = time.monotonic()
            self.examples = _training_examples(self.owner.config, self.sampler.pairs, self.names[0])
            self.shown = ShownImages(self.owner, self.validation, self.names[1], self.sampler.positions)
            self.copies = _copies(self.owner, self.sampler.pairs, self.validation.pairs)
            self.spent += time.monotonic() - started

    def on_epoch_end(self, epoch, logs=None):
        """Predict the images shown, and renew the report."""
        loss = float((logs or {}).get("val_loss", math.nan))
        # What diverged predicts nothing to look at.
        self.stale = math.isfinite(loss)
        if not self.stale or self.spent > _SHARE * (time.monotonic() - self.started):
            return
        started, self.stale = time.monotonic(), False
        self.shown.predict("last")
        if loss < self.lowest:
            self.lowest = loss
            self.shown.keep_best()
        self._write(running=True)
        self.spent += time.monotonic() - started

    def on_train_end(self, logs=None):
        """Predict by the last weights, where the last epochs were not looked at."""
        if self.stale:
            self.shown.predict("last")

    def finish(self):
        """Write the report of the ended training; the network has its best weights, if there are any."""
        if self.examples is None:
            return
        history = read_history(self.owner.logdir / "history.csv")
        if history and math.isfinite(history[-1].get("loss", math.nan)):
            self.shown.predict("best")
        self._write(running=False)
        page = self.owner.logdir / PAGE
        titles = "; ".join(finding.title for finding in self.findings or ()) or "nothing suspicious"
        logger.log(logging.WARNING if self.findings else logging.INFO, "report: %s: %s", page, titles)

    def _write(self, running):
        facts = self._facts(running)
        if facts.kind == SEGMENTATION:
            facts.scores = segmentation_scores(facts.shown, facts.classes)
        elif facts.has_truth:
            # Which no epoch changes.
            self.baselines = baseline_scores(facts.shown) if self.baselines is None else self.baselines
            facts.scores = restoration_scores(facts.shown, self.baselines)
        try:
            self.findings = write_report(self.owner.logdir, facts)
            self.of_data = facts.of_data
        except WriteError as error:
            logger.warning("%s", error)

    def _facts(self, running):
        config = self.owner.config
        return TrainingFacts(
            self.owner.name,
            _kind(self.owner),
            config.axes.replace("C", ""),
            self.examples,
            self.shown.examples,
            (len(self.sampler.pairs), self.validation.image_count),
            read_history(self.owner.logdir / "history.csv"),
            self.sampler.steps,
            {i: f"class {value}" for i, value in enumerate(getattr(config, "labels", None) or ())},
            {axis: size / self.owner.spec.upscale for axis, size in self.pixel_size.items()},
            self.unit,
            self._lines(),
            [shlex.join(words) for words in commands_after_training(self.owner)],
            running,
            pixels=(_pixels(self.sampler.pairs), self.validation.image_count * math.prod(self.validation.size)),
            copies=self.copies,
            of_data=self.of_data,
            target=config.train_target,
            adversarial=config.train_adversarial is not None,
        )

    def _lines(self):
        config, written = self.owner.config, time.strftime("%Y-%m-%d %H:%M")
        minutes = (time.monotonic() - self.started) / 60
        patch = " x ".join(map(str, self.sampler.patch_size))
        augmented = "augmented" if config.train_augment else "as they are"
        packages = ", ".join(f"{name} {version(name)}" for name in ("aeanet-tf", "keras", "tensorflow", "csbdeep"))
        return {
            "network": f"{config.preset}, {self.owner.keras_model.count_params():,} parameters",
            "batches": f"{self.sampler.batch_size} patches of {patch}, {augmented}",
            "loss": _loss(config),
            "learning rate": f"{config.train_learning_rate:g}",
            "seed": str(config.train_seed),
            "time": f"report of {written}" if self.ended else f"{minutes:.1f} minutes until {written}",
            "hardware": hardware(),
            "versions": f"{packages}, Python {platform.python_version()}",
        }


def _loss(config):
    trained = {"noise2noise": ", of the other noisy image", "noise2void": ", of hidden pixels of the noisy images"}
    adversarial = adversarial_section(config)
    beside = "" if adversarial is None else f", and {adversarial.weight:g} times the adversarial loss"
    return f"{config.train_loss}{trained.get(config.train_target, '')}{beside}"


def _kind(model):
    return SEGMENTATION if model.segments else INTERPOLATION if model.interpolates else RESTORATION


def _pixels(pairs):
    return sum(map(math.prod, pairs.shapes))


def _copies(model, train, held):
    """Number of images to validate on that are there to train on, too, or have a truth that is."""
    sides = [(train.x, held.x), *([(train.y, held.y)] if _kind(model) == RESTORATION else [])]
    return max(len(shared_images(*side)) for side in sides)


def _training_examples(config, pairs, names):
    """Pairs spread over the data, of the first channel; of large images the part of a few that varies most."""
    rng, examples = np.random.default_rng(0), []
    for index in np.unique(np.linspace(0, len(pairs) - 1, EXAMPLES).astype(int)).tolist():
        shape, size = pairs.shapes[index], _most(pairs.shapes[index])
        corners = rng.integers(np.subtract(shape, size) + 1, size=(_CROPS, len(shape)))
        crops = [pairs.crop(index, corner, size) for corner in (corners if size != shape else corners[:1])]
        x, y = max(crops, key=lambda crop: float(np.std(crop[1])))
        name = str(names[index]) if index < len(names) else f"number {index}"
        examples.append(Example(name, _first(x), _first(y)))
    return examples


def _most(shape):
    side = _SIDE[len(shape)]
    return tuple(min(n, side) for n in shape)


def _first(image):
    return np.array(image[..., 0], np.float32)


class ShownImages:
    """Validation images with predictions of them, cut where they are large."""

    def __init__(self, model, validation, names, positions):
        self.model, self.positions, self.examples, self.inputs = model, positions, [], []
        fixed = getattr(model.spec, "input_size", None) or getattr(model.spec, "is_dense", False)
        known = len(names) == validation.image_count
        for number in np.unique(np.linspace(0, len(validation) - 1, SHOWN).astype(int)).tolist():
            x, y = (part[0] for part in validation.images(number))
            index = number * validation.batch_size
            if not fixed:
                x, y = self._cut(x, y)
            self.inputs.append(x)
            name = str(names[index]) if known else f"validation image {index}"
            self.examples.append(Example(name, _first(x), _first(y)))

    def _cut(self, x, y):
        """The middle of a pair, of a size that the network takes."""
        divisor = self.model.spec.divisor[: x.ndim - 1]
        size = [max(d, n // d * d) for n, d in zip(_most(x.shape[:-1]), divisor, strict=True)]
        # What training has memory for, prediction has.
        while math.prod(size) > self.positions and size != list(divisor):
            longest = max(range(len(size)), key=lambda i: size[i] / divisor[i])
            size[longest] = max(divisor[longest], size[longest] // 2 // divisor[longest] * divisor[longest])
        box = [slice((n - s) // 2, (n - s) // 2 + s) for n, s in zip(x.shape[:-1], size, strict=True)]
        larger = [slice(*(self.model.spec.upscale * n for n in (part.start, part.stop))) for part in box]
        # Of a projection's truth the first axis is missing.
        return x[tuple(box)], y[tuple(larger[-(y.ndim - 1) :])]

    def predict(self, which):
        """Predictions of all images, as ``which``, "best" or "last", of each."""
        for x, example in zip(self.inputs, self.examples, strict=True):
            predicted = np.asarray(self.model.keras_model(x[None], training=False))[0]
            if self.model.segments:
                predicted = np.argmax(predicted, axis=-1)
            else:
                predicted = predicted[..., 0]
            setattr(example, which, predicted.reshape(example.truth.shape))

    def keep_best(self):
        """The last predictions are the best so far."""
        for example in self.examples:
            example.best = example.last
