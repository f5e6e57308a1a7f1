"""CSBDeep's own CARE, trained and predicted as its examples do, to compare with."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from csbdeep.data import PercentileNormalizer, RawData, create_patches
from csbdeep.models import CARE, Config, ProjectionCARE, ProjectionConfig

from aeanet_tf.errors import InputError
from aeanet_tf.experiments.step_times import random_batch
from aeanet_tf.files import read_json
from aeanet_tf.models.folder import weight_files
from aeanet_tf.training import seed_everything
from aeanet_tf.training.pairs import matched_truth

logger = logging.getLogger("aeanet_tf")

# Validations, with each of which the learning rate may fall; CSBDeep's 100 epochs and their patience of 10, a tenth.
EPOCHS, PATIENCE = 10, 1
# Fields of CSBDeep's configuration by which the model of another run is known.
_TOLD_BY = ("axes", "train_epochs", "train_steps_per_epoch", "train_batch_size")


@dataclass(frozen=True)
class OwnCARE:
    """A CARE with CSBDeep's default network and optimiser, trained for a number of steps.

    Attributes:
        label, key: see `Method`.
        axes: of the images.
        batch_size: patches a step.

    Class attributes:
        epochs, patience: as many validations at most, and as many of them that bring nothing before the learning rate
            is halved.
        config_class: CSBDeep's configuration.
    """

    label: str
    key: str
    axes: str = "YX"
    batch_size: int = 16

    epochs: ClassVar[int] = 100
    patience: ClassVar[int] = 10
    config_class: ClassVar[type] = Config

    @property
    def model_class(self):
        """CSBDeep's model."""
        return CARE

    def config(self, steps=400):
        """CSBDeep's configuration for so many steps in all."""
        epochs = min(self.epochs, steps)
        return self.config_class(
            self.axes,
            train_epochs=epochs,
            train_batch_size=self.batch_size,
            train_steps_per_epoch=max(1, steps // epochs),
            train_reduce_lr={"factor": 0.5, "patience": self.patience, "min_delta": 0},
            train_tensorboard=False,
        )

    def steps(self, steps):
        """Steps that are trained of so many: those of equal epochs."""
        config = self.config(steps)
        return config.train_epochs * config.train_steps_per_epoch

    def untrained(self):
        """A new CARE, without a folder."""
        return self.model_class(self.config(), self.key, None)

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
            stored = read_json(folder / "config.json")
            same = all(stored[name] == getattr(expected, name) for name in _TOLD_BY)
        except (OSError, ValueError, KeyError, TypeError):
            same = False
        if not same:
            raise InputError(
                f"{folder}: holds another model, expected a CARE of {self.steps(steps)} steps of {self.batch_size}; "
                "remove it, or take another --output"
            )
        return True

    def read_or_train(self, lab, seed, steps, patches):
        """The trained model; read from its folder where an earlier run finished it.

        Args:
            lab: `Laboratory`.
            seed: of weights, patches and their order.
            steps: of training, rounded down to equal epochs.
            patches: function without arguments that gives ``(X, Y), (X, Y)``, to train on and to validate on.

        Raises:
            InputError: the folder holds another model.
        """
        basedir, name = lab.output / "models", self.name(lab, seed)
        if not self.is_trained(basedir / name, steps):
            logger.info("training %s, %d steps", name, steps)
            partial_name = f".partial-{name}"
            shutil.rmtree(basedir / partial_name, ignore_errors=True)
            seed_everything(seed)
            np.random.seed(seed)  # noqa: NPY002  CSBDeep's patches are drawn from it
            model = self.model_class(self.config(steps), partial_name, str(basedir))
            (X, Y), validation = patches()
            model.train(X, Y, validation_data=validation)
            del model
            (basedir / partial_name).rename(basedir / name)
        return self.model_class(None, name, str(basedir))

    @staticmethod
    def predict(model, image, axes):
        """The prediction of a whole image, with CSBDeep's default percentiles."""
        return model.predict(image, axes, normalizer=PercentileNormalizer())


@dataclass(frozen=True)
class CareRival(OwnCARE):
    """A CARE with CSBDeep's patches of pairs of images, too, in few and short epochs.

    Attributes:
        matched: whether its targets are fitted to the inputs as ours are (`aeanet_tf.training.pairs`); otherwise
            CSBDeep's ``create_patches`` normalises both by percentiles of their own, its default.
        patch_size: of the training patches, one number an axis.
        per_image: patches cut from each image.
        batch_size: as many patches a step as ours, since CSBDeep's 16 would leave it half of the steps in equal time.
    """

    matched: bool = False
    patch_size: tuple[int, ...] = (128, 128)
    per_image: int = 16
    batch_size: int = 8

    epochs: ClassVar[int] = EPOCHS
    patience: ClassVar[int] = PATIENCE

    def step(self):
        """Network and batch for `seconds_per_step`."""
        model = self.untrained()
        model.prepare_for_training()
        return model.keras_model, *random_batch(model.config.train_batch_size, self.patch_size)

    def trained(self, lab, seed, steps, training, validation):
        """The trained model; see `read_or_train`.

        Args:
            lab, seed, steps: see there.
            training, validation: functions without arguments that give lists of pairs (input, truth), arrays.
        """

        def patches():
            # A quarter as many to validate on: it is not to take longer than training.
            numbers = self.per_image, max(1, self.per_image // 4)
            return [self._patches(pairs(), n) for pairs, n in zip((training, validation), numbers, strict=True)]

        return self.read_or_train(lab, seed, steps, patches)

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


@dataclass(frozen=True)
class ProjectingCARE(OwnCARE):
    """CSBDeep's CARE that projects volumes along z, a ``ProjectionCARE``."""

    config_class: ClassVar[type] = ProjectionConfig

    @property
    def model_class(self):
        """CSBDeep's model."""
        return ProjectionCARE


@dataclass(frozen=True)
class CareRun:
    """The training of a CARE with one seed, as experiments train and score it.

    Attributes:
        care: `OwnCARE`.
        lab: `Laboratory`.
        seed: of the training.
        steps: of the training.
        patches: what `OwnCARE.read_or_train` takes.
    """

    care: OwnCARE
    lab: Any
    seed: int
    steps: int
    patches: Callable

    def model(self):
        """The trained model, with the weights that are to be scored."""
        return self.lab.with_chosen_weights(self.care.read_or_train(self.lab, self.seed, self.steps, self.patches))

    def weights(self):
        """Files of its weights; none where it is not trained yet."""
        folder = self.lab.output / "models" / self.care.name(self.lab, self.seed)
        return weight_files(folder) if self.care.is_trained(folder, self.steps) else []

    def score(self, tests, protocol, kind="", predict=None):
        """See `Laboratory.score`."""
        name, predict = self.care.name(self.lab, self.seed), predict or self.care.predict
        return self.lab.score_other(name, self.model, self.weights(), tests, protocol, kind, predict)
