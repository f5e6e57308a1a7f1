"""Scores of single images, kept as CSV files beside the models they are of, and the report of an experiment."""

import csv
import hashlib
import json
from pathlib import Path

import numpy as np

from aeanet_tf.errors import InputError
from aeanet_tf.evaluation.protocols import get_protocol
from aeanet_tf.evaluation.tables import cell_table, write_cells, write_lines
from aeanet_tf.files import write_text
from aeanet_tf.training import noted_divergence, read_history

_NAMES = ("image", "condition", "data")
_ENDS = 1 << 16
_WEIGHTS = {"best": "of the lowest validation loss", "last": "at its end"}


def fingerprint(files):
    """Sixteen characters that differ if the files do: of their sizes, beginnings and ends, not of their names."""
    digest = hashlib.sha256()
    for path in map(Path, files):
        size = path.stat().st_size
        with open(path, "rb") as file:
            digest.update(f"{size} ".encode() + file.read(_ENDS))
            file.seek(max(0, size - _ENDS))
            digest.update(file.read(_ENDS))
    return digest.hexdigest()[:16]


def write_scores(path, rows):
    """Write one line an image; numbers so that reading them gives the same floats."""
    names = list(rows[0])
    lines = ([row[name] if name in _NAMES else float(row[name]) for name in names] for row in rows)
    write_lines(path, [names, *lines])


def read_scores(path):
    """What `write_scores` wrote.

    Raises:
        InputError: the file is something else.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [{key: value if key in _NAMES else float(value) for key, value in row.items()} for row in rows]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not a file of scores ({error}); remove it") from None


def scorer(name):
    """A protocol of `aeanet_tf.evaluation.protocols` as a function of ground truth, prediction, and input."""
    protocol = get_protocol(name)
    return lambda gt, image, _: protocol(gt, image)


def by_image(runs, score, condition=None):
    """Array with a score of each image, averaged over the runs of a method.

    Args:
        runs: list of what `read_scores` gives, one a seed.
        score: its name.
        condition: of the images that count, ``None`` for all.
    """
    wanted = [[row[score] for row in rows if condition in (None, row["condition"])] for rows in runs]
    return np.mean(wanted, axis=0)


def write_report(lab, name, title, tables, notes, runs):
    """Write ``<name>.md``, a ``<name>.csv`` (``<name>_2.csv``, ... for further tables) and the configurations.

    Args:
        lab, name: `Laboratory`, and name of the experiment.
        title: of the report.
        tables: list of ``(caption, columns, rows)``: ``columns`` is a dict column -> decimals, ``rows`` a dict label ->
            dict column -> `Cell`.
        notes: paragraphs below the tables.
        runs: label -> list of `RunConfig` that were trained.

    Returns:
        The path of the Markdown file.
    """
    parts = [f"# {title}"]
    for number, (caption, columns, rows) in enumerate(tables, 1):
        published = any(cell.published is not None for row in rows.values() for cell in row.values())
        text = caption + (" In brackets: as published." if published else "")
        parts += [text, cell_table(columns, rows)]
        write_cells(lab.reports / f"{name}{'' if number == 1 else f'_{number}'}.csv", columns, rows)
    parts += notes
    if lab.budget.name != "full":
        parts.append(f"**Budget {lab.budget.name}: a trial run, whose figures say nothing about the methods.**")
    parts.append(f"Scored are, of each training, the weights {_WEIGHTS[lab.weights]}.")
    configs = [config for of_method in runs.values() for config in of_method]
    parts.append(_runs(lab, name, configs))
    settings = {config.model.name: json.loads(config.model_dump_json()) for config in configs}
    write_text(lab.reports / f"{name}_configurations.json", json.dumps(settings, indent=2) + "\n")
    path = lab.reports / f"{name}.md"
    write_text(path, "\n\n".join(parts) + "\n")
    return path


def _runs(lab, name, configs):
    lines = [f"Runs, all settings in `{name}_configurations.json`:", ""]
    for config in configs:
        # Fewer epochs than there should be: it diverged, as earlier versions did not note.
        training, done = config.training, len(read_history(lab.folder(config) / "history.csv"))
        expected, noted = lab.lengths(config)[0], noted_divergence(lab.folder(config))
        end = "" if done == expected and noted is None else f"; **diverged in epoch {done} of {expected}**"
        if end:
            lab.diverged.append(config.model.name)
        length = f"{training.steps} steps" if training.epochs is None else f"{training.epochs:g} epochs in batches"
        lines.append(
            f"* `{config.model.name}`: {config.model.preset}, {length} of {training.batch_size}, "
            f"{training.loss}, learning rate {training.learning_rate:g}, seed {training.seed}{end}"
        )
    return "\n".join(lines)
