"""The report of a training: ``report.html``, one file that opens without a network, and ``report.png``."""

import base64
import html
import math
from pathlib import Path

from aeanet_tf.evaluation.protocols import PROTOCOLS
from aeanet_tf.files import replacing, write_text
from aeanet_tf.reports import pictures
from aeanet_tf.reports.facts import INTERPOLATION, SEGMENTATION, DataPart, Finding, TrainingFacts
from aeanet_tf.reports.findings import data_findings, training_findings

PAGE, PICTURE = "report.html", "report.png"
# Below that no SSIM is computed.
_SSIM_SIDE = 11
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:1200px;margin:2em auto;padding:0 1em}
h1{font-size:1.6em}h2{font-size:1.2em;margin-top:2em;border-bottom:1px solid #ddd}
img{max-width:100%;height:auto}
table{border-collapse:collapse}td,th{padding:.2em 1em .2em 0;text-align:left;vertical-align:top}
td.number{text-align:right}
.finding{border-left:4px solid #d55e00;background:#fdf3ec;padding:.5em 1em;margin:.5em 0}
.fine{border-color:#009e73;background:#eef8f4}
pre{background:#f4f4f4;padding:.7em 1em;overflow-x:auto}
"""
_FINE = Finding("Nothing suspicious", "None of the checks found anything. Look at the pictures all the same.")


def write_report(folder: str | Path, facts: TrainingFacts) -> list[Finding]:
    """Write ``report.html`` and ``report.png`` into the folder of a model; both appear when they are whole.

    Args:
        folder: of the model.
        facts: of the training; ``of_data`` is set where it is None.

    Returns:
        The findings, as the page says them.

    Raises:
        WriteError: the files cannot be written.
    """
    if facts.of_data is None:
        facts.of_data = DataPart(data_findings(facts), _of_data(facts))
    found = [*facts.of_data.findings, *training_findings(facts)]
    shown = [example for example in facts.shown if example.best is not None or example.last is not None]
    panels = [pictures.as_png(pictures.example_figure(example, facts, _scores(example, facts))) for example in shown]
    drawn = shown[:1] if facts.kind != SEGMENTATION else []
    profiles = [pictures.as_png(pictures.profile_figure(example, facts.has_truth)) for example in drawn]
    curves = [pictures.as_png(pictures.curves_figure(facts))] if facts.history else []
    parts = [
        _heading(facts),
        *(_finding(each, "finding") for each in found),
        "" if found else _finding(_FINE, "finding fine"),
        *_section("Validation images", _caption(facts), panels + profiles),
        _table("Scores", _score_rows(facts), _score_note(facts)),
        *_section("Learning curves", f"A validation every {facts.steps_per_epoch:,} steps.", curves),
        *_section("What it is trained on", _data_caption(facts), facts.of_data.pictures),
        _commands(facts),
        _table("How it was made", facts.lines.items(), ""),
    ]
    write_text(Path(folder) / PAGE, _document(facts.name, parts))
    if panels or curves:
        with replacing(Path(folder) / PICTURE) as temporary:
            temporary.write_bytes(pictures.stacked([*panels[:1], *profiles, *curves]))
    return found


def _of_data(facts):
    figures = (
        pictures.pairs_figure(facts.examples, facts.kind, facts.target),
        pictures.intensities_figure(facts.examples, facts.kind, facts.classes, facts.target),
    )
    return [pictures.as_png(figure) for figure in figures]


def _scores(example, facts):
    """Of a picture: PSNR, and SSIM where the planes are large enough, care protocol."""
    if facts.kind == SEGMENTATION or not facts.has_truth or example.truth.min() == example.truth.max():
        return {}
    named = {"input": example.flat_input, "best weights": example.best, "last weights": example.last}
    if min(example.truth.shape) < _SSIM_SIDE:
        return {}
    try:
        return {n: PROTOCOLS["care"](example.truth, image) for n, image in named.items() if image is not None}
    except ValueError:
        # No contrast between the percentiles that the protocol takes.
        return {}


def _score_rows(facts):
    unit, digits = ("%", 1) if facts.kind == SEGMENTATION else ("dB", 2)
    return [
        (label, f"{score:.{digits}f} {unit}" if math.isfinite(score) else "–") for label, score in facts.scores.items()
    ]


def _score_note(facts):
    if facts.kind == SEGMENTATION:
        return "Pixels of the right class, of the validation images above."
    return "PSNR after CARE's normalisation (gain and offset do not count), mean of the validation images above."


def _heading(facts):
    state = "The training goes on; this page is renewed." if facts.running else "The training has ended."
    losses = [
        (row["val_loss"], row["epoch"] + 1) for row in facts.history if math.isfinite(row.get("val_loss", math.nan))
    ]
    best = f" Lowest validation loss: {min(losses)[0]:.4g}, at validation {min(losses)[1]}." if losses else ""
    return f"<h1>{html.escape(facts.name)}</h1><p>{state}{best}</p>"


def _caption(facts):
    if facts.kind == SEGMENTATION:
        return "Input, ground truth and predictions, coloured by class; below, the pixels that are wrong."
    if not facts.has_truth:
        return (
            "The input and the predictions on one scale of grey, a part enlarged; below, what was taken away. There is "
            "no ground truth, hence no score: what was taken away should look like noise, without structures."
        )
    what = "the slice before" if facts.kind == INTERPOLATION else "the input"
    grey = "Predictions and ground truth share one scale of grey; the input, which may have another, has its own."
    below = "a part enlarged; below, their errors on one scale."
    return f"{what.capitalize()}, the predictions and the ground truth, {below} {grey}"


def _data_caption(facts):
    volumes = " Of volumes the middle plane." if len(facts.axes) == 3 else ""
    return (
        f"{facts.counts[0]:,} images or patches to train on, {facts.counts[1]:,} to validate on. Shown are "
        f"{len(facts.examples)} of them, as the network sees them (normalised), before augmentation.{volumes}"
    )


def _commands(facts):
    if not facts.commands:
        return ""
    lines = "\n".join(html.escape(line) for line in facts.commands)
    return f"<h2>What to run next</h2><pre>{lines}</pre>"


def _finding(finding, kind):
    return f'<div class="{kind}"><b>{html.escape(finding.title)}.</b> {html.escape(finding.text)}</div>'


def _section(title, text, images):
    if not images:
        return
    yield f"<h2>{title}</h2><p>{html.escape(text)}</p>"
    for image in images:
        yield f'<p><img alt="{title}" src="data:image/png;base64,{base64.b64encode(image).decode()}"></p>'


def _table(title, rows, note):
    if not rows:
        return ""
    cells = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(text))}</td></tr>" for name, text in rows)
    return f"<h2>{title}</h2>{f'<p>{note}</p>' if note else ''}<table>{cells}</table>"


def _document(name, parts):
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(name)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(part for part in parts if part) + "\n</body></html>\n"
    )
