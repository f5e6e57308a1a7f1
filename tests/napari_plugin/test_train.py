"""Trainings that are started, watched, stopped and gone on with in the form; and exports."""

import json
import zipfile

import numpy as np
import pytest

pytest.importorskip("napari", reason="napari is not installed")

from aeanet_tf.errors import InputError
from aeanet_tf.io.read import read_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models.folder import load_model
from aeanet_tf.napari.training import (
    PRESETS,
    TrainingForm,
    TrainingLayer,
    config_of_folders,
    config_of_layers,
    unfinished,
)
from aeanet_tf.runs.config import load_run


@pytest.fixture
def form(viewer, wait, tmp_path, image):
    from aeanet_tf.napari.train_widget import TrainWidget

    widget = TrainWidget(viewer)
    frames = np.stack([np.roll(image, 3 * i, axis=1) for i in range(4)])
    widget.low.value = viewer.add_image(frames + 1, name="noisy")
    widget.gt.value = viewer.add_image(frames, name="clean")
    widget.basedir.value, widget.name.value = tmp_path / "models", "care"
    widget.patch_size.value, widget.first_filters.value, widget.batch_size.value = "16 16", 4, 1
    yield widget
    widget.stop()
    wait(widget)


def test_two_layers_give_a_model_and_a_curve(form, tmp_path, wait):
    form.steps.value = 4
    assert (form.low_axes.value, form.gt_axes.value) == ("TYX", "TYX")
    form.start_button.click()
    wait(form)
    folder = tmp_path / "models" / "care"
    assert form.line.text() == f"trained model in {folder}"
    model = load_model(folder)
    assert model.config.axes == "YXC" and model.spec.first_filters == 4
    curve, *pictures = form.figure.axes
    assert [line.get_xdata().tolist() for line in curve.lines] == [[4], [4]]
    (row,) = np.genfromtxt(folder / "history.csv", delimiter=",", names=True, ndmin=1)
    assert [line.get_ydata()[0] for line in curve.lines] == pytest.approx([row["loss"], row["val_loss"]])
    assert [axes.get_title() for axes in pictures] == ["input", "prediction", "truth"]
    assert len({axes.images[0].get_clim() for axes in pictures}) == 1
    # One of the four pairs is held out; the command line could have made it.
    config = load_run(folder)
    assert config.training.steps == 4 and config.data.match_targets and config.data.validation_split == 0.25
    images = sorted((tmp_path / "models" / "care_images" / "low").iterdir())
    assert len(images) == 4
    # What is there is not replaced without a word, nor are the images.
    times = [path.stat().st_mtime_ns for path in images]
    form.start_button.click()
    assert not form.running and "holds a trained model; another name keeps it, 'begin anew'" in form.line.text()
    assert times == [path.stat().st_mtime_ns for path in images]


def test_a_training_that_is_stopped_keeps_its_model_and_goes_on(form, viewer, tmp_path, wait):
    from aeanet_tf.napari.train_widget import TrainWidget

    form.steps.value, folder = 4000, tmp_path / "models" / "care"
    form.start_button.click()
    wait(form, lambda: form.line.text().startswith("step"))
    form.stop_button.click()
    wait(form)
    assert f"the best model so far is in {folder}" in form.line.text()
    assert load_model(folder).config.train_steps_per_epoch == 200
    first = json.loads((folder / "resume" / "state.json").read_text())
    assert first["epoch"] == 1 and 1 <= first["step"] < 200
    assert form.start_button.text() == "Continue" and unfinished(folder) == load_run(folder)
    # Another window goes on with it, whatever is chosen there.
    other = TrainWidget(viewer)
    other.basedir.value, other.name.value = tmp_path / "models", "care"
    assert other.start_button.text() == "Continue"
    other.start_button.click()
    wait(other, lambda: "step 2" in other.line.text())
    other.stop_button.click()
    wait(other)
    second = json.loads((folder / "resume" / "state.json").read_text())
    assert second["epoch"] == 2 and second["step"] > first["step"]
    assert form.figure.axes[0].lines[0].get_xdata().tolist() == [200]
    assert other.figure.axes[0].lines[0].get_xdata().tolist() == [200, 400]


def as_layers(low, gt, axes, gt_axes=None):
    return TrainingLayer(low, axes), TrainingLayer(gt, gt_axes or axes)


def test_a_single_pair_is_cut_to_validate_on(tmp_path, image):
    config = config_of_layers(TrainingForm("m", str(tmp_path)), *as_layers(image, image + 1, "YX"))
    root, parts = tmp_path / "m_images", {}
    for name in ("low", "GT", "validation_low", "validation_GT"):
        parts[name] = read_image(root / name / "image_0000.tif").array
    # The end of the longer side.
    assert np.array_equal(np.concatenate([parts["low"], parts["validation_low"]]), image)
    assert np.array_equal(parts["validation_GT"], image[36:] + 1)
    assert config.data.validation_low == "validation_low" and config.data.root == str(root)


def test_layers_of_segmentation_and_projection(tmp_path, image):
    labels = np.where(image > 20, 5, 0)
    form = TrainingForm("m", str(tmp_path), "segmentation", "aeanet-em", first_filters=4, match_targets=True)
    config = config_of_layers(form, *as_layers(image, labels, "YX"))
    assert config.model.labels == [0, 5] and config.model.n_channel_out == 2 and config.data.segments
    with pytest.raises(InputError, match="labels: found 48 different values, expected 2 to 32 classes"):
        config_of_layers(form, *as_layers(image, np.repeat(np.arange(48)[:, None], 40, 1), "YX"))
    form = TrainingForm("r", str(tmp_path), "restoration", "rcan", first_filters=8)
    assert config_of_layers(form, *as_layers(image, image, "YX")).model.network == {"filters": 8}
    stack = np.stack([image] * 4)
    form = TrainingForm("p", str(tmp_path), "projection", "aeanet-flywing", "ZYX", 10, (4, 16, 16), 1, 4, True)
    config = config_of_layers(form, *as_layers(stack, image, "ZYX", "YX"))
    assert config.data.match_targets
    assert config.model.network == {"filters": 4, "restoration": {"first_filters": 4}}
    assert read_image(tmp_path / "p_images" / "GT" / "image_0000.tif").array.shape == (36, 40)


@pytest.mark.parametrize(
    ("low", "gt", "axes", "words"),
    [
        ((4, 48, 40), (4, 48, 40), "ZYX", "axes of low: found ZYX, expected YX"),
        ((48, 40), (48, 41), "YX", r"GT: found \(48, 41\) \(YX\), expected \(48, 40\) \(YX\), the size of low"),
        ((48, 40), (48, 40), "YXZ", r"axes of low: found YXZ for a shape of \(48, 40\), expected 2 letters"),
    ],
)
def test_layers_that_do_not_fit_are_refused(tmp_path, low, gt, axes, words):
    with pytest.raises(InputError, match=words):
        config_of_layers(TrainingForm("m", str(tmp_path)), *as_layers(np.ones(low), np.ones(gt), axes))
    assert not list(tmp_path.iterdir())


def test_two_folders_give_their_configuration(tmp_path, image):
    for name in ("low", "GT"):
        for number in range(3):
            write_image(tmp_path / name / f"{number}.tif", np.stack([image, image]), "CYX")
    config = config_of_folders(TrainingForm("m", str(tmp_path)), tmp_path / "low", tmp_path / "GT")
    assert (config.model.n_channel_in, config.model.n_channel_out) == (2, 2)
    # One of three is held out.
    assert round(3 * config.data.validation_split) == 1
    with pytest.raises(InputError, match="low: found no folder"):
        config_of_folders(TrainingForm("m", str(tmp_path)), "", tmp_path / "GT")


def test_the_presets_are_of_their_tasks():
    from aeanet_tf.networks import presets

    kinds = {task: {presets[name].kind for name in names} for task, names in PRESETS.items()}
    u_nets = {"unet", "unet_variant", "ce_net"}
    assert kinds == {
        "restoration": {*u_nets, "super_resolution"},
        "projection": {"projection"},
        "segmentation": u_nets,
    }


def test_an_export_writes_the_zip(viewer, folders, tmp_path, wait):
    from aeanet_tf.napari.export_widget import ExportWidget

    form = ExportWidget()
    form.model.folder.value = folders["planes"]
    assert form.target.value == folders["planes"] / "TF_SavedModel.zip"
    form.target.value = tmp_path / "fiji.zip"
    form.start_button.click()
    wait(form)
    assert form.line.text() == f"written: {tmp_path / 'fiji.zip'}"
    assert "saved_model.pb" in " ".join(zipfile.ZipFile(tmp_path / "fiji.zip").namelist())
    # What a package must name is asked for.
    form.format.value = "bioimageio"
    assert form.target.value == folders["planes"] / "planes.bioimageio.zip"
    form.start_button.click()
    wait(form)
    assert form.line.text() == "--format bioimageio: --author and --license missing, a package must name them"
