"""Several methods, ours and others, trained with the same seeds under one budget of steps or of time.

Their data are pairs in folders ``{train,val,test}/{low,GT}``, on which filters are scored, too.
"""

from functools import partial

import numpy as np

from aeanet_tf.datasets.pairs import pair_folders
from aeanet_tf.evaluation.statistics import mean_interval, paired_difference
from aeanet_tf.evaluation.tables import Cell
from aeanet_tf.experiments.care_rival import CareRival
from aeanet_tf.experiments.laboratory import Case
from aeanet_tf.experiments.scores import by_image
from aeanet_tf.experiments.step_times import of_length, seconds_per_step, steps_in, training_step
from aeanet_tf.io.image import image_stem
from aeanet_tf.io.read import read_image
from aeanet_tf.models.folder import weight_files
from aeanet_tf.runs.train import count_parameters


class Comparison:
    """The methods of an experiment, trained when they are scored.

    Args:
        lab: `Laboratory`.
        file: name of the run configuration of our methods.
        methods: `Method` and `CareRival`, in the order of the tables.
        training, validation: functions without arguments that give the images of `CareRival`, see there.
    """

    def __init__(self, lab, file, methods, training, validation):
        self.lab, self.file, self.methods = lab, file, methods
        self.training, self.validation = training, validation
        self.ours = [method for method in methods if not isinstance(method, CareRival)]
        # What CARE may take beside: as long as ours by default.
        self._shared_config = lab.config(file, self.ours[0], lab.seeds[0])
        self.seconds = self._seconds() if lab.minutes is not None else None
        self._parameters = {}

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
            return self._shared_config.training.steps
        return steps_in(self.lab.minutes, self.seconds[method.key])

    def config(self, method, seed):
        """The `RunConfig` of one of our methods."""
        config = self.lab.config(self.file, method, seed)
        if self.seconds is None:
            return config
        return of_length(config, self.steps(method))

    def configs_of(self, method):
        """Those of all seeds."""
        return [self.config(method, seed) for seed in self.lab.seeds]

    def configs(self):
        """All of ours, seed by seed."""
        return [self.config(method, seed) for seed in self.lab.seeds for method in self.ours]

    def score(self, tests, protocol, kind=""):
        """Label of a method -> list of scores by image, one a seed; see `Laboratory.score`."""
        scores = {}
        # Seed by seed: whoever stops early has a comparison of the first.
        for seed in self.lab.seeds:
            for method in self.methods:
                score_method = self._score_rival if isinstance(method, CareRival) else self._score_own
                scores.setdefault(method.label, []).append(score_method(method, seed, tests, protocol, kind))
        return scores

    def _score_own(self, method, seed, tests, protocol, kind):
        return self.lab.score(self.config(method, seed), tests, protocol, kind)

    def _score_rival(self, method, seed, tests, protocol, kind):
        name = method.name(self.lab, seed)
        folder = self.lab.output / "models" / name

        def load():
            return method.trained(self.lab, seed, self.steps(method), self.training, self.validation)

        weights = weight_files(folder) if method.is_trained(folder, self.steps(method)) else []
        return self.lab.score_other(name, load, weights, tests, protocol, kind, method.predict)

    def costs(self, method):
        """Cells of parameters, steps as they were trained, and seconds a step where they were measured."""
        own = None if isinstance(method, CareRival) else self.config(method, self.lab.seeds[0])
        if method.key not in self._parameters:
            model = method.untrained() if own is None else self.lab.model(own)
            self._parameters[method.key] = count_parameters(model)
        steps = method.steps(self.steps(method)) if own is None else own.training.steps
        cells = {"parameters": Cell(self._parameters[method.key]), "steps": Cell(steps)}
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
            rows[label] = other if isinstance(other, dict) else _intervals([other], columns)
        for method in self.methods:
            rows[method.label] = _intervals(scores[method.label], columns) | (self.costs(method) if costs else {})
        # A column that nothing is known for is left out.
        spent = {"parameters": 0, "steps": 0, **({} if self.seconds is None else {"s a step": 2})} if costs else {}
        caption = "Mean over seeds and images, with the 95 % interval over images."
        return caption, {**spent, **dict(columns.values())}, rows

    def seeds_table(self, scores, score, decimals):
        """Table of the means of each seed."""
        seeds = self.lab.seeds
        return (
            f"Means of each seed, {score.upper()}.",
            {f"seed {seed}": decimals for seed in seeds},
            {
                label: {f"seed {s}": Cell(_mean(rows, score)) for s, rows in zip(seeds, runs, strict=True)}
                for label, runs in scores.items()
            },
        )

    def differences(self, scores, score, title, decimals, baselines):
        """Table of the paired differences to some of the methods: over the images, and over the seeds."""
        columns, rows = {}, {label: {} for label in scores}
        several = len(self.lab.seeds) > 1
        for baseline in baselines:
            over_images, over_seeds = f"to {baseline}, over images", f"to {baseline}, over seeds"
            columns |= {over_images: decimals} | ({over_seeds: decimals} if several else {})
            for label, runs in scores.items():
                if label == baseline:
                    continue
                pair = [by_image(r, score) for r in (runs, scores[baseline])]
                rows[label][over_images] = Cell(*paired_difference(*pair)[:2])
                if several:
                    pair = [[_mean(rows_, score) for rows_ in r] for r in (runs, scores[baseline])]
                    rows[label][over_seeds] = Cell(*paired_difference(*pair)[:2])
        caption = (
            f"Paired differences, {title}, with 95 % intervals: over the images (each averaged over the seeds), and "
            "over the seeds (each averaged over the images)."
        )
        return caption, columns, rows


def interval(values):
    """`Cell` of a mean and its 95 % interval."""
    return Cell(*mean_interval(values)[:2])


def _intervals(runs, columns):
    return {title: interval(by_image(runs, score)) for score, (title, _) in columns.items()}


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
    """Scores of the inputs themselves, as "input", and of filtered ones.

    Args:
        lab: `Laboratory`.
        tests: list of `Case`.
        protocol: see `Laboratory.score`.
        filters: label -> function of an image.

    Returns:
        label -> list of scores by image.
    """
    scores = {"input": lab.score_inputs(tests, protocol)}
    return scores | {label: lab.score_inputs(tests, protocol, function) for label, function in filters.items()}


def _paths(lab, split):
    return lab.budget.some(pair_folders(lab.data / split / "low", lab.data / split / "GT"))


def _read(low, gt, axes):
    return read_image(low, axes).array, read_image(gt, axes).array
