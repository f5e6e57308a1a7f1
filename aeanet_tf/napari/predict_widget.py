"""The widget that restores, projects or segments a layer."""

from magicgui.widgets import Container, LineEdit
from qtpy.QtWidgets import QLabel

from aeanet_tf.errors import InputError, expect
from aeanet_tf.napari.axes import check_layer, guess_axes, layer_array, layer_shape, result_layer
from aeanet_tf.napari.choosers import LayerChooser, ModelChooser
from aeanet_tf.napari.models import read_facts, remember_model
from aeanet_tf.napari.prediction import predict_array, tile_options
from aeanet_tf.napari.work import JobWidget


class PredictWidget(JobWidget):
    """Predict a layer with a trained model; the result is a new layer at the same place.

    Args:
        napari_viewer: the viewer, or its model.
    """

    def __init__(self, napari_viewer):
        super().__init__("Predict")
        self.viewer = napari_viewer
        self.model, self.layer = ModelChooser(), LayerChooser(napari_viewer, "layer")
        self.axes = LineEdit(label="axes", tooltip="one letter a dimension: T, Z, C, Y, X")
        self.max_memory = LineEdit(label="max memory", tooltip="such as 4GB; empty: 80 % of what is free")
        self.n_tiles = LineEdit(label="tiles", tooltip="such as 1 2 2; empty: as many as it takes")
        self.fit = QLabel()
        self.fit.setWordWrap(True)
        form = Container(widgets=[self.layer, self.axes, self.max_memory, self.n_tiles], labels=True)
        form.margins = (0, 0, 0, 0)
        self.lay_out(self.model.native, form.native, self.fit)
        self.model.folder.changed.connect(self.renew)
        self.layer.changed.connect(self.renew)
        self.axes.changed.connect(self.check)
        self.renew()

    def renew(self, *_):
        """Guess the axes of the layer anew, and check it."""
        layer = self.layer.value
        try:
            facts = read_facts(self.model.text)
            known = facts.spatial, facts.channels
        except InputError:
            known = ()
        if layer is not None:
            self.axes.value = guess_axes(layer, *known)
        self.check()

    def check(self, *_):
        """Say in one line whether the model takes the layer."""
        try:
            self.fit.setText(self._fitting()[1])
        except InputError as error:
            self.fit.setText(str(error))

    def _fitting(self):
        """The facts of the model, and what of the layer fits it."""
        facts, layer = read_facts(self.model.text), self.layer.value
        expect(layer is not None, "layer", "none", "one of images")
        return facts, check_layer(facts, layer.name, layer_shape(layer), self.axes.value)

    def on_start(self):
        """Predict the layer that is chosen."""
        try:
            facts, _ = self._fitting()
            options = tile_options(self.n_tiles.value, self.max_memory.value)
        except InputError as error:
            self.fail(error)
            return
        layer, axes = self.layer.value, self.axes.value.upper()

        def predict(watch):
            result = predict_array(facts, layer_array(layer), axes, options, watch)
            return result_layer(layer, axes, facts.projected, result, facts.name, facts.kind == "segmentation")

        remember_model(facts.folder)
        self.model.renew()
        self.start(predict, self._add)

    def _add(self, result):
        add = self.viewer.add_labels if result.type == "labels" else self.viewer.add_image
        add(result.data, **result.arguments)
