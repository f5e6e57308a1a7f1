"""Layers predicted in the form, beside what the model predicts of their arrays."""

import json
import threading

import numpy as np
import pytest

pytest.importorskip("napari", reason="napari is not installed")

from aeanet_tf.models.folder import load_model
from aeanet_tf.models.normalizers import RangeNormalizer
from aeanet_tf.napari import prediction
from aeanet_tf.napari.models import recent_models, settings_file


@pytest.fixture
def form(viewer, wait):
    from aeanet_tf.napari.predict_widget import PredictWidget

    widget = PredictWidget(viewer)
    yield widget
    widget.stop()
    wait(widget)


def run(form, folder, wait, layer=None):
    form.model.folder.value = folder
    if layer is not None:
        form.layer.value = layer
    form.start_button.click()
    wait(form)


def expected(folder, array, axes, **options):
    # Normalised as the folder says.
    return load_model(folder).predict(array, axes, RangeNormalizer(0, 50), **options)


def test_a_plane_and_a_volume_are_predicted_as_by_the_model(form, viewer, folders, image, wait):
    plane = viewer.add_image(image, name="cells", scale=(0.2, 0.3), translate=(5, 6), units=("um", "um"))
    volume = viewer.add_image(np.stack([image + i for i in range(4)]), name="stack", scale=(2, 0.3, 0.3))
    run(form, folders["planes"], wait, plane)
    result = viewer.layers["cells planes"]
    assert np.allclose(result.data, expected(folders["planes"], image, "YX"), atol=1e-3)
    assert np.allclose(result.scale, (0.2, 0.3)) and np.allclose(result.translate, (5, 6))
    assert result.units == plane.units and form.line.text() == "done"
    run(form, folders["volumes"], wait, volume)
    result = viewer.layers["stack volumes"]
    assert np.allclose(result.data, expected(folders["volumes"], volume.data, "ZYX"), atol=1e-3)
    assert np.allclose(result.scale, (2, 0.3, 0.3))
    # The last one first; the file is the user's own.
    assert recent_models() == [folders["volumes"], folders["planes"]]
    assert json.loads(settings_file().read_text())["recent_models"][0] == str(folders["volumes"])


def test_projections_lose_an_axis_and_segmentations_are_labels(form, viewer, folders, image, wait):
    volume = viewer.add_image(np.stack([image + i for i in range(4)]), name="stack", scale=(2, 0.3, 0.4))
    run(form, folders["flat"], wait, volume)
    flat = viewer.layers["stack flat"]
    assert np.allclose(flat.data, expected(folders["flat"], volume.data, "ZYX"), atol=1e-3)
    assert flat.data.shape == image.shape and np.allclose(flat.scale, (0.3, 0.4))
    cells = viewer.add_image(image, name="cells")
    run(form, folders["classes"], wait, cells)
    classes = viewer.layers["cells classes"]
    assert classes._type_string == "labels" and set(np.unique(classes.data)) <= {0, 7}
    assert np.array_equal(classes.data, expected(folders["classes"], image, "YX"))


def test_many_tiles_and_frames_give_the_same_and_are_counted(form, viewer, folders, image, wait, monkeypatch):
    film = viewer.add_image(np.stack([image, image[::-1]]), name="film")
    monkeypatch.setattr(prediction, "LARGEST_TILE", 600)
    form.layer.value = film
    shares, show = [], form._show_share
    monkeypatch.setattr(form, "_show_share", lambda share: (shares.append(share), show(share)))
    run(form, folders["planes"], wait)
    assert form.axes.value == "TYX"
    whole = expected(folders["planes"], film.data, "TYX", tiling="whole")
    assert np.allclose(viewer.layers["film planes"].data, whole, atol=1e-3)
    known = [share for share in shares if share is not None]
    assert len(known) > 8 and known == sorted(known) and known[-1] == 1


def test_a_prediction_that_is_stopped_ends_between_tiles_and_leaves_no_layer(
    form, viewer, folders, image, wait, monkeypatch
):
    viewer.add_image(np.tile(image, (3, 3)), name="large")
    monkeypatch.setattr(prediction, "LARGEST_TILE", 600)
    told, go_on = [], threading.Event()
    counted = prediction._counted

    def slow(watch, images):
        watcher = counted(watch, images)

        def tile(line, done, total):
            told.append((done, total))
            # Until the window has stopped it.
            go_on.wait(60)
            watcher(line, done, total)

        return tile

    monkeypatch.setattr(prediction, "_counted", slow)
    form.model.folder.value = folders["planes"]
    form.start_button.click()
    wait(form, lambda: told)
    assert not form.start_button.isEnabled() and form.stop_button.isEnabled()
    # A second one beside it is not to be had.
    worker = form._worker
    form.on_start()
    assert form._worker is worker
    form.stop_button.click()
    go_on.set()
    wait(form)
    assert len(told) == 1 and told[0][1] > 10
    assert len(viewer.layers) == 1 and form.line.text() == "stopped"
    assert form.start_button.isEnabled() and not form.stop_button.isEnabled()


def test_closing_the_form_stops_what_it_does(viewer, folders, image, wait, monkeypatch):
    from qtpy.QtWidgets import QVBoxLayout, QWidget

    from aeanet_tf.napari.predict_widget import PredictWidget

    viewer.add_image(image, name="cells")
    dock, form = QWidget(), PredictWidget(viewer)
    QVBoxLayout(dock).addWidget(form)
    form.model.folder.value = folders["planes"]
    form.start_button.click()
    # What napari does where a dock is closed.
    form.setParent(None)
    wait(form)
    assert len(viewer.layers) == 1 and form.line.text() == "stopped"


def test_what_is_wrong_is_one_line_here_and_as_a_notification(form, viewer, folders, image, wait):
    from napari.utils.notifications import notification_manager

    viewer.add_image(image, name="cells")
    form.model.folder.value = folders["volumes"]
    words = "cells: found axes YX, expected ZYX (and C for channels), the model's axes"
    words += "; it takes volumes, a single image needs a model of images"
    assert form.fit.text() == words
    form.start_button.click()
    assert not form.running and form.line.text() == words
    assert notification_manager.records[-1].message == words
    # What shows only when the model is there.
    form.model.folder.value = folders["planes"]
    form.n_tiles.value = "0 1"
    form.start_button.click()
    wait(form)
    assert form.line.text().startswith("n_tiles: ") and "expected" in form.line.text()
    assert notification_manager.records[-1].message == form.line.text() and len(viewer.layers) == 1
    form.n_tiles.value = "two"
    form.start_button.click()
    assert form.line.text() == "n_tiles: found 'two', expected numbers such as 1 2 2, or nothing"


def test_the_form_follows_the_layers(form, viewer, folders, image):
    form.model.folder.value = folders["planes"]
    assert form.fit.text() == "layer: found none, expected one of images"
    layer = viewer.add_image(image, name="cells")
    viewer.add_labels(np.zeros((4, 4), int))
    assert form.layer.choices == (layer,) and form.fit.text() == "restores YX"
    layer.name = "nuclei"
    assert form.layer.get_choice("nuclei") is layer
    viewer.layers.clear()
    assert form.layer.choices == ()


def test_a_form_that_is_gone_follows_no_layers(viewer, image, application):
    from qtpy.QtCore import QCoreApplication, QEvent

    from aeanet_tf.napari.predict_widget import PredictWidget

    form = PredictWidget(viewer)
    form.deleteLater()
    QCoreApplication.sendPostedEvents(form, QEvent.DeferredDelete)
    with pytest.raises(RuntimeError, match="deleted"):
        form.layer.reset_choices()
    viewer.add_image(image)
    viewer.layers.clear()
