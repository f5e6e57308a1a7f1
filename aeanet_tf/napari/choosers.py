"""Parts of the forms: the layers of a viewer, and the folder of a model with the recent ones."""

from pathlib import Path

from magicgui.widgets import ComboBox, Container, FileEdit
from napari.layers import Image, Labels

from aeanet_tf.napari.models import recent_models

_OTHER = "(recent models)"


class LayerChooser(ComboBox):
    """A list of the layers of a viewer that follows them, for as long as it is there.

    Args:
        viewer: a napari viewer, or its model.
        label: beside the list.
        labels: whether layers of labels are in it, too.
    """

    def __init__(self, viewer, label, labels=False):
        kinds = (Image, Labels) if labels else (Image,)

        def choices(widget):
            return [(layer.name, layer) for layer in viewer.layers if isinstance(layer, kinds)]

        super().__init__(label=label, choices=choices, nullable=False)
        self._events = viewer.layers.events
        self._events.connect(self._on_event)

    def _on_event(self, event):
        # The last one is of a layer.
        if event.type not in ("inserted", "removed", "reordered", "name"):
            return
        try:
            self.reset_choices()
        except RuntimeError:
            # Qt has deleted the list, with its form.
            self._events.disconnect(self._on_event)


class ModelChooser(Container):
    """The folder of a model: chosen, or one of the recent ones."""

    def __init__(self):
        self.recent = ComboBox(label="recent", choices=_recent_choices)
        self.folder = FileEdit(label="model folder", mode="d")
        super().__init__(widgets=[self.recent, self.folder], labels=True)
        self.margins = (0, 0, 0, 0)
        self.recent.changed.connect(self._on_recent)
        folders = recent_models()
        if folders:
            self.folder.value = folders[0]

    @property
    def text(self):
        """The path of the folder as it was given; "" for none."""
        text = str(self.folder.value)
        return "" if text == "." else text

    def renew(self):
        """Show the recent ones anew."""
        with self.recent.changed.blocked():
            self.recent.reset_choices()
            self.recent.value = None

    def _on_recent(self, folder):
        if folder is not None:
            self.folder.value = Path(folder)


def _recent_choices(widget):
    return [(_OTHER, None), *((f"{folder.name}  ({folder.parent})", folder) for folder in recent_models())]
