"""The report of a training that has ended, written once more."""

import html
from pathlib import Path

from aeanet_tf.errors import InputError


class ReportPath(type(Path())):
    """The path of a report, which a notebook shows as a link."""

    def _repr_html_(self):
        text = html.escape(str(self))
        return f'<a href="{text}" target="_blank">{text}</a>'


def renew_report(model, X=None, Y=None, validation_data=None):
    """Write the report of a model; see `AEANet.report`."""
    if model.basedir is None:
        raise InputError("report: the model has no folder (basedir is None) to write to")
    told = {}
    if X is None:
        # Only a command knows what a training has read.
        from aeanet_tf.runs.train import images_of

        images = images_of(model.logdir, model.config)
        X, Y, validation_data = images.X, images.Y, images.validation
        pixel_size, unit = images.calibration
        told = {"names": images.names, "pixel_size": pixel_size, "unit": unit}
    # Matplotlib with it.
    from aeanet_tf.models.training_report import TrainingReport
    from aeanet_tf.reports.page import PAGE

    report = TrainingReport(model, *model.prepared_data(model.config, X, Y, validation_data), **told, ended=True)
    report.on_train_begin()
    report.finish()
    return ReportPath(model.logdir / PAGE)
