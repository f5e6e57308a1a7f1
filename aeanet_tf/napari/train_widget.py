"""The widget that trains a model on two layers or two folders."""

from pathlib import Path

from magicgui.widgets import CheckBox, ComboBox, Container, FileEdit, LineEdit, SpinBox
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure

from aeanet_tf.errors import InputError
from aeanet_tf.napari.axes import calibration, guess_axes, layer_array
from aeanet_tf.napari.choosers import LayerChooser
from aeanet_tf.napari.figure import draw_training
from aeanet_tf.napari.models import remember_model
from aeanet_tf.napari.training import (
    PRESETS,
    TrainingForm,
    TrainingLayer,
    check_free,
    config_of_folders,
    config_of_layers,
    train,
    unfinished,
)
from aeanet_tf.napari.work import JobWidget

LAYERS, FOLDERS = "two layers", "two folders"
_NETWORKS = {"2D (YX)": "YX", "3D (ZYX)": "ZYX"}


class TrainWidget(JobWidget):
    """Train a model, with its losses and a validation image shown while it runs.

    Args:
        napari_viewer: the viewer, or its model.
    """

    def __init__(self, napari_viewer):
        super().__init__("Train")
        self.source = ComboBox(label="train on", choices=[LAYERS, FOLDERS])
        self.low = LayerChooser(napari_viewer, "low (input)")
        self.gt = LayerChooser(napari_viewer, "GT (truth)", labels=True)
        self.low_axes, self.gt_axes = LineEdit(label="axes of low"), LineEdit(label="axes of GT")
        self.low_folder = FileEdit(label="low (input)", mode="d")
        self.gt_folder = FileEdit(label="GT (truth)", mode="d")
        self.task = ComboBox(label="task", choices=list(PRESETS))
        self.network = ComboBox(label="network", choices=list(_NETWORKS))
        self.preset = ComboBox(label="preset", choices=list(PRESETS["restoration"]))
        self.first_filters = SpinBox(label="channels", min=0, max=256, value=0)
        self.first_filters.tooltip = "of the network at full resolution; 0: those of the preset, fewer are faster"
        self.steps = SpinBox(label="steps", min=1, max=10**6, value=1000)
        self.batch_size = SpinBox(label="patches a step", min=1, max=256, value=4)
        self.patch_size = LineEdit(label="patch size", value="64 64")
        self.match = CheckBox(label="match intensities", value=True)
        self.match.tooltip = "fit each truth to its input by gain and offset: predictions keep the input's intensities"
        self.name = LineEdit(label="name", value="my_model")
        self.basedir = FileEdit(label="models folder", mode="d", value=Path.home() / "aeanet_models")
        self.overwrite = CheckBox(label="begin anew")
        self.overwrite.tooltip = "replace a model of this name, finished or not"
        fields = [self.source, self.low, self.low_axes, self.gt, self.gt_axes, self.low_folder, self.gt_folder]
        fields += [self.task, self.network, self.preset, self.first_filters, self.steps, self.batch_size]
        fields += [self.patch_size, self.match, self.name, self.basedir, self.overwrite]
        form = Container(widgets=fields, labels=True)
        form.margins = (0, 0, 0, 0)
        self.figure = Figure(figsize=(4, 4), layout="constrained")
        self.canvas = FigureCanvasQTAgg(self.figure)
        self.canvas.setMinimumHeight(300)
        self.canvas.setVisible(False)
        self.lay_out(form.native, self.canvas)
        self._connect()
        self.on_source()
        self.on_task()

    def _connect(self):
        self.source.changed.connect(self.on_source)
        self.task.changed.connect(self.on_task)
        self.network.changed.connect(self.on_network)
        for layer in (self.low, self.gt):
            layer.changed.connect(self.guess)
        for field in (self.name, self.basedir, self.overwrite):
            field.changed.connect(self.on_name)

    def on_source(self, *_):
        """Show the fields of layers, or of folders."""
        layers = self.source.value == LAYERS
        for field in (self.low, self.low_axes, self.gt, self.gt_axes):
            field.visible = layers
        for field in (self.low_folder, self.gt_folder):
            field.visible = not layers

    def on_task(self, *_):
        """Offer the presets of the task; projections are of volumes."""
        self.preset.choices = list(PRESETS[self.task.value])
        projects = self.task.value == "projection"
        self.network.enabled = not projects
        if projects:
            self.network.value = "3D (ZYX)"
        self.on_network()

    def on_network(self, *_):
        """Offer a patch size for the dimensions, and guess the axes anew."""
        self.patch_size.value = "64 64" if self._axes == "YX" else "16 64 64"
        self.guess()
        self.on_name()

    @property
    def _axes(self):
        return _NETWORKS[self.network.value]

    def guess(self, *_):
        """Guess the axes of the layers."""
        projected = "Z" if self.task.value == "projection" else ""
        for layer, field, axes in (
            (self.low.value, self.low_axes, self._axes),
            (self.gt.value, self.gt_axes, self._axes.replace(projected, "") if projected else self._axes),
        ):
            if layer is not None:
                field.value = guess_axes(layer, axes)

    def form(self):
        """What was filled in, a `TrainingForm`.

        Raises:
            InputError: a patch size that is none.
        """
        text = self.patch_size.value
        try:
            patch = tuple(int(word) for word in text.replace(",", " ").split())
        except ValueError:
            raise InputError(f"patch size: found {text!r}, expected numbers such as 64 64") from None
        return TrainingForm(
            self.name.value,
            str(self.basedir.value),
            self.task.value,
            self.preset.value,
            self._axes,
            self.steps.value,
            patch,
            self.batch_size.value,
            self.first_filters.value or None,
            self.match.value,
        )

    def on_name(self, *_):
        """Say on the button whether a training that was stopped goes on."""
        self.start_button.setText("Continue" if self._unfinished() is not None else "Train")

    def _unfinished(self):
        if self.overwrite.value:
            return None
        try:
            return unfinished(self.form().folder)
        except InputError:
            return None

    def on_start(self):
        """Train on what is chosen, or go on with the training of that name."""
        if self.running:
            return
        try:
            going_on, form = self._unfinished(), self.form()
            if going_on is None and not self.overwrite.value:
                check_free(form.folder)
            make = None if going_on is not None else self._config(form)
        except InputError as error:
            self.fail(error)
            return
        overwrite = self.overwrite.value

        def job(watch):
            return train(make() if going_on is None else going_on, watch, overwrite)

        self._folder = form.folder
        self.start(job, self._trained)

    def _config(self, form):
        """A function that makes the configuration, in the thread of the job."""
        if self.source.value == FOLDERS:
            folders = self.low_folder.value, self.gt_folder.value
            return lambda: config_of_folders(form, *folders)
        layers = []
        for name, layer, axes in (
            ("low", self.low.value, self.low_axes.value.upper()),
            ("GT", self.gt.value, self.gt_axes.value.upper()),
        ):
            if layer is None:
                raise InputError(f"{name}: found no layer, expected one")
            layers.append((layer, axes))
        return lambda: config_of_layers(
            form, *(TrainingLayer(layer_array(layer), axes, calibration(layer, axes)) for layer, axes in layers)
        )

    def on_news(self, news):
        """Draw what a validation gave."""
        self.canvas.setVisible(True)
        draw_training(self.figure, news)
        self.canvas.draw_idle()

    def on_stopped(self):
        """Say that the training can go on."""
        kept = unfinished(self._folder) is not None
        self.say(f"stopped; the best model so far is in {self._folder}, Continue goes on" if kept else "stopped")
        if kept:
            remember_model(self._folder)
        self.overwrite.value = False
        self.on_name()

    def _trained(self, folder):
        remember_model(folder)
        self.say(f"trained model in {folder}")
        self.overwrite.value = False
        self.on_name()
