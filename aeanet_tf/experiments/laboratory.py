"""Where an experiment trains its networks and keeps what came out, so that it can be stopped and taken up again."""

import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from aeanet_tf.errors import DivergedError, InputError
from aeanet_tf.experiments.budget import Budget
from aeanet_tf.experiments.scores import fingerprint, read_scores, write_scores
from aeanet_tf.files import read_fields
from aeanet_tf.models.folder import chosen_weights, load_model, weight_files
from aeanet_tf.models.normalizers import own_normalizer
from aeanet_tf.progress import progress_bar
from aeanet_tf.runs.config import as_run_config, is_same_run, load_run, override
from aeanet_tf.runs.shipped import CONFIGS
from aeanet_tf.training import ResumableState

logger = logging.getLogger("aeanet_tf")

# Raised where a score is defined anew, lest kept ones of the old definition stand beside new ones.
SCORING = 2

# What makes runs comparable, or tells them apart.
_OWN = {"model.name", "model.basedir", "model.preset", "training.seed", "data.kind", "data.root", "data.prepared"}
_OWN |= {"data.structure", "data.pair", "data.train_subjects", "data.validation_subjects"}


class Method(NamedTuple):
    """A network to be compared.

    Attributes:
        label: in tables.
        key: in file names.
        preset: name of the network.
        network: fields in which it differs from the preset.
        whole: whether these are all; by default those of the configuration are below them, which are of U-Nets.
    """

    label: str
    key: str
    preset: str
    network: Any = MappingProxyType({})
    whole: bool = False


class Case(NamedTuple):
    """A test image.

    Attributes:
        name: of the image.
        read: function without arguments, ``(input, ground truth)``.
        axes: of the input.
        condition: of the input where there are several, such as "C1".
        part: index of what is scored of a larger prediction and input, ``None`` for all.
        files: that it is read from; scores are kept for as long as these are the same.
    """

    name: str
    read: Any
    axes: str
    condition: str = ""
    part: Any = None
    files: tuple[Path, ...] = ()

    @property
    def key(self):
        """What its scores are kept under: name, condition, and a fingerprint of the files with `SCORING`."""
        return self.name, self.condition, f"{fingerprint(self.files)}-{SCORING}"

    def cut(self, image):
        """What is scored of a prediction or an input."""
        return image if self.part is None else image[self.part]


@dataclass(frozen=True)
class Laboratory:
    """The data, the budget and the folder of an experiment.

    Models are in ``output/models`` and scores in ``output/scores``; experiments on the same data share both.

    Attributes:
        data: folder of the data set.
        output: folder of all results.
        budget: `Budget`.
        seeds: of the trainings; one run a method and seed.
        configs: folder of the run configurations, the package's by default.
        overrides: strings ``section.key=value`` that change every configuration, after method and budget.
        verbose: Keras's.
        minutes: what each training has of this machine's time, for experiments with a budget of time; ``None`` for as
            many steps as the configuration says.
        weights: of each training, ``"best"`` or ``"last"``; models are shared, scores and reports are not.
        self_training: whether networks are trained on single images, too, for the table that knows it.
        networks: what is compared in place of an experiment's own methods, see `literature.chosen_methods`.
        diverged: names of the models whose training diverged, as reports are written.
    """

    data: Path
    output: Path
    budget: Budget
    seeds: tuple[int, ...] = (0,)
    configs: Path = CONFIGS
    overrides: tuple[str, ...] = ()
    verbose: int = 0
    minutes: float | None = None
    weights: str = "best"
    self_training: bool = False
    networks: tuple[str, ...] | None = None
    diverged: list = field(default_factory=list)
    _models: dict = field(default_factory=dict)

    def __post_init__(self):
        for text in self.overrides:
            key = text.partition("=")[0].strip()
            if key in _OWN:
                raise InputError(f"--set: {key} is decided by the experiment; expected another field")

    @property
    def reports(self):
        """Where tables and pictures are written."""
        return self.output if self.weights == "best" else self.output / f"{self.weights}_weights"

    def config(self, file, method, seed, root=None, part="", **changes):
        """The `RunConfig` of a method: that of ``<file>.json`` in `configs` with the network of the method.

        Args:
            file: name of the configuration.
            method: `Method`.
            seed: of the training.
            root: folder of the data, ``data`` by default.
            part: of the data, for the name of the model where a method is trained on several.
            changes: sections of the configuration, dicts of fields that differ.

        Raises:
            InputError: no such file, or a field that is wrong.
        """
        path = self.configs / f"{file}.json"
        data = read_fields(path)
        for section, fields in changes.items():
            # What is no section at all is for the validation to tell.
            if isinstance(data.setdefault(section, {}), dict):
                data[section].update(fields)
        # Defaults are filled in before the budget is applied to them.
        data = as_run_config(data, path).model_dump()
        data["training"] = {**self.budget.apply(data["training"]), "seed": seed}
        data["data"]["root"] = str(Path(self.data if root is None else root).resolve())
        model = data["model"]
        shared = {} if method.whole else model["network"]
        model["preset"], model["network"] = method.preset, _merged(shared, method.network)
        model["basedir"] = str(self.output / "models")
        model["name"] = f"{file.replace('/', '-')}-{method.key}{part and '-'}{part}-seed{seed}{self.budget.suffix}"
        given = dict(override(data, text) for text in self.overrides)
        return as_run_config(data, path, given)

    def runs(self, file, methods, root=None, **changes):
        """The `RunConfig` of each seed by label of the method; arguments as `config` takes them."""
        return {
            method.label: [self.config(file, method, seed, root, **changes) for seed in self.seeds]
            for method in methods
        }

    def model(self, config):
        """The trained model of a configuration: as it was left, taken up where it was stopped, or trained now."""
        name = config.model.name
        if name not in self._models:
            # One at a time is in memory.
            self._models.clear()
            model = load_model(self.folder(config)) if self.is_trained(config) else self._train(config)
            self._models[name] = self.with_chosen_weights(model)
        return self._models[name]

    def with_chosen_weights(self, model):
        """A model that has its best weights, as it is or with those at the end of its training."""
        if self.weights == "last":
            model.load_weights(chosen_weights(model.logdir, self.weights).name)
        return model

    def is_trained(self, config):
        """Whether the training of a configuration is finished.

        Raises:
            InputError: the folder holds a model of another configuration.
        """
        folder = self.folder(config)
        state = ResumableState(folder / "resume")
        if state.path.is_file() or state.half_cleared or not (folder / "weights_last.h5").is_file():
            return False
        if not is_same_run(load_run(folder), config):
            raise InputError(
                f"{folder}: holds a model of another configuration or other data; remove it, or take another --output"
            )
        return True

    def _train(self, config):
        from aeanet_tf.runs.train import train_run

        logger.info("training %s", config.model.name)
        try:
            return train_run(config, verbose=self.verbose)
        except DivergedError as error:
            if not error.kept:
                raise
            # The other trainings are not to wait: the report marks it, and the command ends with its exit code.
            logger.warning("%s", error)
            return load_model(self.folder(config))

    def folder(self, config):
        """Folder of the model of a configuration."""
        return Path(config.model.basedir) / config.model.name

    def lengths(self, config):
        """Of the training of a configuration: the number of validations, and the steps between two of them."""
        training = config.training
        if training.epochs is None:
            return training.validations, training.steps_per_epoch
        # What became of the epochs when the data were read.
        known = read_fields(self.folder(config) / "config.json")
        return known["train_epochs"], known["train_steps_per_epoch"]

    def score(self, config, tests, protocol, kind="", predict=None):
        """Scores of a trained model for test images, computed once and kept.

        Args:
            config: of the run.
            tests: list of `Case`.
            protocol: function ``(gt, prediction, input) -> scores`` by name.
            kind: what is scored, where there is more than one thing for a model; for the name of the file.
            predict: function ``(model, image, axes)``; whole images, normalised as in training, by default.

        Returns:
            List of dicts: ``image``, ``condition`` and the scores.
        """
        folder = self.folder(config)
        weights = weight_files(folder) if self.is_trained(config) else []
        predict = self.predict if predict is None else predict
        return self.score_other(config.model.name, lambda: self.model(config), weights, tests, protocol, kind, predict)

    def score_runs(self, runs, tests, protocol, kind="", predict=None):
        """Label of a method -> what `score` gives for each of its runs, of such a dict of `RunConfig`."""
        scores = {label: [] for label in runs}
        # Seed by seed: whoever stops early has a comparison of the first.
        for of_seed in zip(*runs.values(), strict=True):
            for label, config in zip(runs, of_seed, strict=True):
                scores[label].append(self.score(config, tests, protocol, kind, predict))
        return scores

    def score_other(self, name, load, weights, tests, protocol, kind, predict):
        """Scores of any model, computed once and kept for as long as its weights are older than they.

        Args:
            name: of the model.
            load: function without arguments that gives it; not called where nothing is missing.
            weights: its files; none where it is not trained yet.
            tests, protocol, kind, predict: see `score`.
        """
        chosen = "" if self.weights == "best" else self.weights
        path = self.output / "scores" / f"{'-'.join(filter(None, (name, chosen, kind)))}.csv"
        keys = [test.key for test in tests]
        rows = _kept(path, weights)
        missing = [(key, test) for key, test in zip(keys, tests, strict=True) if key not in rows]
        if missing:
            model = load()
            logger.info("scoring %s", path.stem)
            scored = _scored([test for _, test in missing], protocol, lambda image, axes: predict(model, image, axes))
            for (key, _), scores in zip(missing, scored, strict=True):
                rows[key] = {"image": key[0], "condition": key[1], "data": key[2], **scores}
                write_scores(path, [rows[key] for key in keys if key in rows])
        return [rows[key] for key in keys]

    def score_inputs(self, tests, protocol, show=None):
        """Scores of the inputs themselves; ``show`` makes of an input what is scored of it, such as its projection."""
        scored = _scored(tests, protocol, lambda image, axes: image if show is None else show(image))
        return [
            {"image": test.name, "condition": test.condition, **scores}
            for test, scores in zip(tests, scored, strict=True)
        ]

    def predict(self, model, image, axes):
        """The prediction of a whole image, normalised as in training."""
        return model.predict(image, axes, normalizer=own_normalizer(model))


def _kept(path, weights):
    """key of a `Case` -> scores, of a file that is younger than the weights that they are of."""
    if not weights or not path.is_file():
        return {}
    if path.stat().st_mtime < max(file.stat().st_mtime for file in weights):
        return {}
    return {(row["image"], row["condition"], row.get("data")): row for row in read_scores(path)}


@contextmanager
def quiet():
    """Without a line in the log for each of hundreds of predictions."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _scored(tests, protocol, predict):
    """Yield the scores of each test."""
    last = prediction = None
    for test in progress_bar(tests, desc="scoring", unit="image"):
        image, gt = test.read()
        # Several parts of one image are predicted once.
        if image is not last:
            with quiet():
                last, prediction = image, predict(image, test.axes)
        yield protocol(gt, test.cut(prediction), test.cut(image))
        if test.part is None:
            # Large volumes are not to wait for the next.
            last = prediction = image = gt = None


def _merged(first, second):
    """Nested dicts, those of ``second`` over those of ``first``."""
    merged = dict(first)
    for key, value in second.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if nested else value
    return merged
