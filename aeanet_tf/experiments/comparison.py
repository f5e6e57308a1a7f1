"""Several methods, ours and others, trained with the same seeds under one budget of steps or of time.

Their data are pairs in folders ``{train,val,test}/{low,GT}``, on which filters are scored, too.
"""

from functools import partial
from itertools import product

import numpy as np

from aeanet_tf.datasets.pairs import pair_folders
from aeanet_tf.evaluation.statistics import mean_interval, paired_difference
from aeanet_tf.evaluation.tables import Cell
from aeanet_tf.experiments.care_rival import CareRival
from aeanet_tf.experiments.laboratory import Case
from aeanet_tf.experiments.scores import by_image
from aeanet_tf.experiments.step_times import of_length, seconds_per_step, steps_in, steps_of, training_step
from aeanet_tf.io.image import image_stem
from aeanet_tf.io.read import read_image
from aeanet_tf.models.folder import weight_files
from aeanet_tf.runs.train import count_parameters

COLUMNS = {"psnr": ("PSNR (dB)", 2), "ssim": ("SSIM", 4)}
"""What is compared: title and decimals of each score."""


class Comparison:
    """The methods of an experiment, trained when they are scored.

    Args:
        lab: `Laboratory`.
        file: name of the run configuration of our methods.
        methods: `Method` and `CareRival`, in the order of the tables.
    """

    def __init__(self, lab, file, methods):
        self.lab, self.file, self.methods = lab, file, methods
        self.ours = [method for method in methods if not isinstance(method, CareRival)]
        # What CARE may take beside: as long as ours by default.
        self._shared_config = lab.config(file, self.ours[0], lab.seeds[0])
        self.seconds = self._seconds() if lab.minutes is not None else None

    def _seconds(self):
        candidates = {
            method.key: method.step
            if isinstance(method, CareRival)
            else lambda method=method: training_step(self.lab.config(self.file, method, self.lab.seeds[0]))
            for method in self.methods
        }
        return seconds_per_step(self.lab.output / f"{self.file}_step_times.json", candidates)

    def steps(self, method):
        """Optimiser steps that a method may have; it is trained for as many of them as make equal epochs."""
        if self.seconds is None:
            return steps_of(self._shared_config)
        return steps_in(self.lab.minutes, self.seconds[method.key])

    def config(self, method, seed):
        """The `RunConfig` of one of our methods."""
        config = self.lab.config(self.file, method, seed)
        if self.seconds is None:
            return config
        return of_length(config, self.steps(method))

    def runs(self):
        """Those of all seeds by label of the method."""
        return {method.label: [self.config(method, seed) for seed in self.lab.seeds] for method in self.ours}

    def score(self, tests, protocol, kind=""):
        """Label of a method -> list of scores by image, one a seed; see `Laboratory.score`."""
        scores = {}
        # Seed by seed: whoever stops early has a comparison of the first.
        for seed in self.lab.seeds:
            for method in self.methods:
                if isinstance(method, CareRival):
                    rows = self._score_rival(method, seed, tests, protocol, kind)
                else:
                    rows = self.lab.score(self.config(method, seed), tests, protocol, kind)
                scores.setdefault(method.label, []).append(rows)
        return scores

    def _score_rival(self, method, seed, tests, protocol, kind):
        name, steps = method.name(self.lab, seed), self.steps(method)
        folder = self.lab.output / "models" / name
        images = (partial(pairs_of, self.lab, split, method.axes) for split in ("train", "val"))

        def load():
            return self.lab.with_chosen_weights(method.trained(self.lab, seed, steps, *images))

        weights = weight_files(folder) if method.is_trained(folder, steps) else []
        return self.lab.score_other(name, load, weights, tests, protocol, kind, method.predict)

    def costs(self, method):
        """Cells of parameters, steps as they were trained, and seconds a step where they were measured."""
        if isinstance(method, CareRival):
            model, steps = method.untrained(), method.steps(self.steps(method))
        else:
            config = self.config(method, self.lab.seeds[0])
            model, steps = self.lab.model(config), config.training.steps
        cells = {"parameters": Cell(count_parameters(model)), "steps": Cell(steps)}
        return cells if self.seconds is None else {**cells, "s a step": Cell(self.seconds[method.key])}

    def notes(self):
        """Paragraphs on the budget."""
        if self.seconds is None:
            return []
        return [
            f"Each training was given {self.lab.minutes:g} minutes: the steps that fit, by the time of a step measured "
            "on this machine for all methods in turn; reading data, validation and scoring come on top for all."
        ]

    def means_table(self, scores, columns, others, costs=True):
        """Table of the means over seeds and images, with intervals over images.

        Args:
            scores: what `score` gives.
            columns: dict of a score to its title and decimals.
            others: label -> list of scores by image (filters), or a row of `Cell` by title; these stand first.
            costs: whether parameters, steps and seconds a step are shown, too.
        """
        rows = {}
        for label, other in others.items():
            rows[label] = other if isinstance(other, dict) else intervals([other], columns)
        for method in self.methods:
            rows[method.label] = intervals(scores[method.label], columns) | (self.costs(method) if costs else {})
        # A column that nothing is known for is left out.
        spent = {"parameters": 0, "steps": 0, **({} if self.seconds is None else {"s a step": 2})} if costs else {}
        caption = "Mean over seeds and images, with the 95 % interval over images."
        return caption, {**spent, **dict(columns.values())}, rows

    def seeds_table(self, scores):
        """Table of the mean PSNR of each seed."""
        columns = {f"seed {seed}": 2 for seed in self.lab.seeds}
        rows = {
            label: dict(zip(columns, (Cell(_mean(run, "psnr")) for run in runs), strict=True))
            for label, runs in scores.items()
        }
        return "Means of each seed, PSNR.", columns, rows

    def differences(self, scores, baselines):
        """Tables, one a score of `COLUMNS`, of the differences to some of the methods: over images, and over seeds."""
        return [self._differences(scores, score, *column, baselines) for score, column in COLUMNS.items()]

    def _differences(self, scores, score, title, decimals, baselines):
        samples = {"images": {label: by_image(runs, score) for label, runs in scores.items()}}
        if len(self.lab.seeds) > 1:
            samples["seeds"] = {label: [_mean(run, score) for run in runs] for label, runs in scores.items()}
        columns, rows = {}, {label: {} for label in scores}
        for baseline, (unit, values) in product(baselines, samples.items()):
            column = f"to {baseline}, over {unit}"
            columns[column] = decimals
            for label in scores:
                if label != baseline:
                    rows[label][column] = Cell(*paired_difference(values[label], values[baseline]))
        caption = (
            f"Paired differences, {title}, with 95 % intervals: over the images (each averaged over the seeds), and "
            "over the seeds (each averaged over the images)."
        )
        return caption, columns, rows


def intervals(runs, columns):
    """Means of scores over images, and their 95 % intervals, as `Cell` by title.

    Args:
        runs: list of scores by image, one a seed.
        columns: dict of a score to its title and decimals.
    """
    return {title: Cell(*mean_interval(by_image(runs, score))) for score, (title, _) in columns.items()}


def _mean(rows, score):
    return float(np.mean([row[score] for row in rows]))


def cases_of(lab, split, axes):
    """A `Case` for each pair of a split, such as "test"; few where the budget is tiny."""
    return [
        Case(image_stem(low), partial(_read, low, gt, axes), axes, files=(low, gt)) for low, gt in _paths(lab, split)
    ]


def pairs_of(lab, split, axes):
    """The pairs of a split, such as "train", as arrays ``(input, truth)``; few where the budget is tiny."""
    return [_read(*pair, axes) for pair in _paths(lab, split)]


def filter_scores(lab, tests, protocol, filters):
    """Label -> list of scores by image: of the inputs themselves, as "input", and of ``filters``, label -> function."""
    scores = {"input": lab.score_inputs(tests, protocol)}
    return scores | {label: lab.score_inputs(tests, protocol, function) for label, function in filters.items()}


def _paths(lab, split):
    return lab.budget.some(pair_folders(lab.data / split / "low", lab.data / split / "GT"))


def _read(low, gt, axes):
    return read_image(low, axes).array, read_image(gt, axes).array
