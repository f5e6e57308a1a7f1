"""CSBDeep's own CARE, trained and predicted as its examples do, to compare with."""

import json
import logging
import shutil
from dataclasses import dataclass

import numpy as np
from csbdeep.data import PercentileNormalizer, RawData, create_patches
from csbdeep.models import CARE, Config

from aeanet_tf.errors import InputError
from aeanet_tf.experiments.step_times import random_batch
from aeanet_tf.training import seed_everything
from aeanet_tf.training.pairs import matched_truth

logger = logging.getLogger("aeanet_tf")

# Validations, with each of which the learning rate may fall; CSBDeep's 100 epochs and their patience of 10, a tenth.
EPOCHS, PATIENCE = 10, 1
# Fields of CSBDeep's configuration by which the model of another run is known.
_TOLD_BY = ("axes", "train_epochs", "train_steps_per_epoch", "train_batch_size")


@dataclass(frozen=True)
class CareRival:
    """A CARE with CSBDeep's default network, optimiser and patches, trained for a number of steps.

    Attributes:
        label, key: see `Method`.
        matched: whether its targets are fitted to the inputs as ours are (`aeanet_tf.training.pairs`); otherwise
            CSBDeep's ``create_patches`` normalises both by percentiles of their own, its default.
        axes: of the images.
        patch_size: of the training patches, one number an axis.
        per_image: patches cut from each image.
        batch_size: patches a step: as many as ours, since CSBDeep's 16 would leave it half of the steps in equal time.
    """

    label: str
    key: str
    matched: bool
    axes: str = "YX"
    patch_size: tuple[int, ...] = (128, 128)
    per_image: int = 16
    batch_size: int = 8

    def config(self, steps=400):
        """CSBDeep's configuration for so many steps in all."""
        epochs = min(EPOCHS, steps)
        return Config(
            self.axes,
            train_epochs=epochs,
            train_batch_size=self.batch_size,
            train_steps_per_epoch=max(1, steps // epochs),
            train_reduce_lr={"factor": 0.5, "patience": PATIENCE, "min_delta": 0},
            train_tensorboard=False,
        )

    def steps(self, steps):
        """Steps that are trained of so many: those of `EPOCHS` equal epochs."""
        config = self.config(steps)
        return config.train_epochs * config.train_steps_per_epoch

    def untrained(self):
        """A new CARE, without a folder."""
        return CARE(self.config(), self.key, None)

    def step(self):
        """Network and batch for `seconds_per_step`."""
        model = self.untrained()
        model.prepare_for_training()
        return model.keras_model, *random_batch(model.config.train_batch_size, self.patch_size)

    def name(self, lab, seed):
        """Of the model folder."""
        return f"{self.key}-seed{seed}{lab.budget.suffix}"

    def is_trained(self, folder, steps):
        """Whether a model folder holds the model of so many steps.

        Raises:
            InputError: it holds another one.
        """
        if not folder.is_dir():
            return False
        expected = self.config(steps)
        try:
            stored = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            same = all(stored[name] == getattr(expected, name) for name in _TOLD_BY)
        except (OSError, ValueError, KeyError, TypeError):
            same = False
        if not same:
            raise InputError(
                f"{folder}: holds another model, expected a CARE of {self.steps(steps)} steps of {self.batch_size}; "
                "remove it, or take another --output"
            )
        return True

    def trained(self, lab, seed, steps, training, validation):
        """The trained model; read from its folder where an earlier run finished it.

        Args:
            lab: `Laboratory`.
            seed: of weights, patches and their order.
            steps: of training, rounded down to `EPOCHS` equal epochs.
            training, validation: functions without arguments that give lists of pairs (input, truth), arrays.

        Raises:
            InputError: the folder holds another model.
        """
        basedir, name = lab.output / "models", self.name(lab, seed)
        if not self.is_trained(basedir / name, steps):
            logger.info("training %s, %d steps", name, steps)
            partial = f".partial-{name}"
            shutil.rmtree(basedir / partial, ignore_errors=True)
            seed_everything(seed)
            np.random.seed(seed)  # noqa: NPY002  CSBDeep's patches are drawn from it
            model = CARE(self.config(steps), partial, str(basedir))
            X, Y = self._patches(training(), self.per_image)
            # A quarter as many of each: validation is not to take longer than training.
            model.train(X, Y, validation_data=self._patches(validation(), max(1, self.per_image // 4)))
            del model
            (basedir / partial).rename(basedir / name)
        return CARE(None, name, str(basedir))

    def _patches(self, pairs, per_image):
        normalization = {}
        if self.matched:
            inputs = [PercentileNormalizer().before(low, self.axes) for low, _ in pairs]
            pairs = [(x, matched_truth(x, gt)) for x, (_, gt) in zip(inputs, pairs, strict=True)]
            normalization = {"normalization": None}
        data = RawData(lambda: ((x, y, self.axes, None) for x, y in pairs), len(pairs), "pairs of images")
        X, Y, _ = create_patches(data, self.patch_size, per_image, verbose=False, **normalization)
        # CSBDeep's C is the second axis.
        return np.moveaxis(X, 1, -1), np.moveaxis(Y, 1, -1)

    @staticmethod
    def predict(model, image, axes):
        """The prediction of a whole image, with CSBDeep's default percentiles."""
        return model.predict(image, axes, normalizer=PercentileNormalizer())
