"""Tables of experiments: Markdown in the paper's layout, the same as CSV, and the configurations behind it."""

import csv
import json
import math
from typing import NamedTuple

import numpy as np

from aeanet_tf.files import replacing


class Cell(NamedTuple):
    """A mean, what follows its ± sign, and both as published; ``None`` where there is none."""

    value: float | None = None
    spread: float | None = None
    published: float | None = None
    published_spread: float | None = None


def mean_and_deviation(values, published=None):
    """`Cell` of a mean and standard deviation (n - 1) over images; ``published`` is a number or a pair."""
    values = np.asarray(values, "float64")
    pair = published if isinstance(published, tuple) else (published, None)
    if not len(values):
        return Cell(None, None, *pair)
    return Cell(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None, *pair)


def mean(values, published=None):
    """`Cell` of a mean alone, for tables that give no spread."""
    return mean_and_deviation(values, published)._replace(spread=None)


def write_report(lab, name, title, tables, notes, configs):
    """Write ``<name>.md``, a ``<name>.csv`` (``<name>_2.csv``, ... for further tables) and the configurations.

    Args:
        lab: `Laboratory`.
        name: of the experiment.
        title: of the report.
        tables: list of ``(caption, columns, rows)``: ``columns`` is a dict column -> decimals, ``rows`` a dict label ->
            dict column -> `Cell`.
        notes: paragraphs below the tables.
        configs: list of `RunConfig` that were trained.

    Returns:
        The path of the Markdown file.
    """
    parts = [f"# {title}"]
    for number, (caption, columns, rows) in enumerate(tables, 1):
        published = any(cell.published is not None for row in rows.values() for cell in row.values())
        text = caption + (" In brackets: as published." if published else "")
        parts += [text, _markdown(columns, rows)]
        _write_csv(lab.output / f"{name}{'' if number == 1 else f'_{number}'}.csv", columns, rows)
    parts += notes
    if lab.budget.name != "full":
        parts.append(f"**Budget {lab.budget.name}: a trial run, whose figures say nothing about the methods.**")
    parts.append(_runs(lab, name, configs))
    runs = {config.model.name: json.loads(config.model_dump_json()) for config in configs}
    lab.write(f"{name}_configurations.json", json.dumps(runs, indent=2) + "\n")
    return lab.write(f"{name}.md", "\n\n".join(parts) + "\n")


def _runs(lab, name, configs):
    lines = [f"Runs, all settings in `{name}_configurations.json`:", ""]
    for config in configs:
        training, done = config.training, lab.epochs(config)
        end = "" if done == training.epochs else f"; **diverged in epoch {done} of {training.epochs}**"
        lines.append(
            f"* `{config.model.name}`: {config.model.preset}, {training.steps} steps of {training.batch_size}, "
            f"{training.loss}, learning rate {training.learning_rate:g}, seed {training.seed}{end}"
        )
    return "\n".join(lines)


def _markdown(columns, rows):
    lines = [["", *columns], ["---"] * (len(columns) + 1)]
    for label, row in rows.items():
        lines.append([label, *(_text(row.get(column, Cell()), decimals) for column, decimals in columns.items())])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _text(cell, decimals):
    ours = _number(cell.value, cell.spread, decimals)
    if cell.published is None:
        return ours
    return f"{ours} [{_number(cell.published, cell.published_spread, decimals)}]"


def _number(value, spread, decimals):
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    if decimals == 0:
        return f"{value:,.0f}"
    text = f"{value:.{decimals}f}"
    # A single value has no spread.
    return text if spread is None or not math.isfinite(spread) else f"{text} ± {spread:.{decimals}f}"


def _write_csv(path, columns, rows):
    """Every column of the table as the columns mean, ± and published; empty where there is none."""
    fields = [(column, part, f"{column}{suffix}") for column in columns for part, suffix in _PARTS]
    used = [f for f in fields if any(_part(row, f) is not None for row in rows.values())]
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["method", *(title for *_, title in used)])
        for label, row in rows.items():
            writer.writerow([label, *("" if (v := _part(row, f)) is None else repr(float(v)) for f in used)])


_PARTS = (("value", ""), ("spread", " ±"), ("published", " published"), ("published_spread", " published ±"))


def _part(row, field):
    return getattr(row.get(field[0], Cell()), field[1])
