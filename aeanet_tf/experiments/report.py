"""Tables of experiments: Markdown in the paper's layout, the same as CSV, and the configurations behind it."""

import json

from aeanet_tf.evaluation.tables import cell_table, write_cells


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
        parts += [text, cell_table(columns, rows)]
        write_cells(lab.output / f"{name}{'' if number == 1 else f'_{number}'}.csv", columns, rows)
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
