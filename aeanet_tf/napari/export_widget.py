"""The widget that exports a model to Fiji, the BioImage Model Zoo, Keras and others."""

from pathlib import Path

from magicgui.widgets import ComboBox, Container, FileEdit, LineEdit

from aeanet_tf.errors import InputError, expect
from aeanet_tf.napari.choosers import ModelChooser
from aeanet_tf.napari.export import FORMATS, default_target, export_model
from aeanet_tf.napari.models import read_facts, remember_model
from aeanet_tf.napari.work import JobWidget


class ExportWidget(JobWidget):
    """Export a trained model; where to, the format proposes."""

    def __init__(self):
        super().__init__("Export")
        self.model, self.format = ModelChooser(), ComboBox(label="format", choices=list(FORMATS))
        self.target = FileEdit(label="write to", mode="w")
        self.authors = LineEdit(label="authors", tooltip="of the package, separated by semicolons")
        self.license = LineEdit(label="license", tooltip="of the trained model, such as CC-BY-4.0")
        self.description = LineEdit(label="description", tooltip="one line on what the model does")
        self._package = (self.authors, self.license, self.description)
        form = Container(widgets=[self.format, self.target, *self._package], labels=True)
        form.margins = (0, 0, 0, 0)
        self.lay_out(self.model.native, form.native)
        self.stop_button.setVisible(False)
        self.model.folder.changed.connect(self.renew)
        self.format.changed.connect(self.renew)
        self.renew()

    def renew(self, *_):
        """Propose a path, and show the fields of packages for these."""
        for field in self._package:
            field.visible = self.format.value == "bioimageio"
        try:
            folder = read_facts(self.model.text).folder
        except InputError as error:
            self.say(str(error) if self.model.text else "")
            return
        self.say("")
        self.target.value = default_target(folder, self.format.value)

    def on_start(self):
        """Export the model that is chosen."""
        try:
            facts = read_facts(self.model.text)
            target = Path(self.target.value)
            expect(str(target) not in ("", "."), "write to", "no path", "a file or folder to write")
        except InputError as error:
            self.fail(error)
            return
        name, facts_given = self.format.value, [field.value for field in self._package]
        remember_model(facts.folder)
        self.model.renew()
        self.start(
            lambda watch: export_model(facts.folder, name, target, watch, *facts_given),
            lambda path: self.say(f"written: {path}"),
        )
