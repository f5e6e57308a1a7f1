"""Segmentation is trained from stacks, folders and iSeg's subjects as NumPy reads them, or one line says why not."""

import json
import logging
import re

import numpy as np
import pytest
import tifffile

from aeanet_tf.errors import InputError
from aeanet_tf.io.tiff import write_image
from aeanet_tf.runs.config import load_run_config
from aeanet_tf.runs.train import load_data, model_config, train_run
from tests.datasets.published import write_iseg
from tests.models import EAGER, contents, eager_tensorflow

pytestmark = EAGER

NETWORK = {
    "first_filters": 4,
    "depth": 2,
    "encoding_blocks": [1, 0],
    "decoding_blocks": [1],
    "upsampling": "transposed_convolution",
}
MODEL = {"name": "m", "preset": "aeanet-mri", "axes": "YX", "n_channel_out": 2, "labels": [0, 255], "network": NETWORK}
TRAINING = {
    "steps": 2,
    "steps_per_epoch": 2,
    "batch_size": 2,
    "patch_size": [16, 16],
    "loss": "cross_entropy",
    "batch_norm_batches": 1,
}
STACK = {
    "kind": "labels",
    "root": "data",
    "stack": "images.tif",
    "label_stack": "labels.tif",
    "train_slices": "0,2",
    "validation_slices": "3-4",
}
FOLDERS = {"kind": "labels", "root": "data", "low": "low", "GT": "GT"}
ISEG = {
    "kind": "iseg",
    "root": "data",
    "train_subjects": "1-2",
    "validation_subjects": "3",
    "normalization": {"kind": "standard", "over": "nonzero"},
}
VOLUMES = {"axes": "ZYX", "n_channel_in": 2, "n_channel_out": 4, "labels": [0, 10, 150, 250]}


@pytest.fixture(autouse=True)
def _there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def configured(data, model=(), training=()):
    config = {"model": {**MODEL, **dict(model)}, "data": data, "training": {**TRAINING, **dict(training)}}
    with open("run.json", "w") as file:
        json.dump(config, file)
    return load_run_config("run.json")


def loaded(data, model=(), training=()):
    config = configured(data, model, training)
    return load_data(config.data, model_config(config))[:3]


def refused(tmp_path, message, data, model=(), training=()):
    """Training stops before it has written anything, with one line."""
    before = {name for name in contents(tmp_path) if name != "run.json"}
    with pytest.raises(InputError, match=message) as error:
        train_run(configured(data, model, training), verbose=0)
    assert "\n" not in str(error.value)
    assert {name for name in contents(tmp_path) if name != "run.json"} == before
    assert not (tmp_path / "models").exists()


def scaled(x, axes=(0, 1), low=2, high=99.8):
    bottom, top = np.percentile(x, (low, high), axis=axes, keepdims=True)
    return (x - bottom) / (top - bottom)


@pytest.fixture
def stack(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 250, (5, 24, 20)).astype(np.uint8)
    labels = np.uint8([0, 255])[(images > 120).astype(int)]
    write_image(tmp_path / "data" / "images.tif", images, "ZYX")
    write_image(tmp_path / "data" / "labels.tif", labels, "ZYX")
    return images, labels


def test_slices_of_a_stack_are_those_named_each_normalised_by_itself(stack):
    images, labels = stack
    X, Y, (X_val, Y_val) = loaded(STACK)
    assert (len(X), len(Y), len(X_val), len(Y_val)) == (2, 2, 2, 2)
    for number, x, y in zip((0, 2, 3, 4), [*X, *X_val], [*Y, *Y_val], strict=True):
        np.testing.assert_allclose(x[..., 0], scaled(images[number]), atol=1e-6)
        np.testing.assert_array_equal(y[..., 0], labels[number])
        assert x.shape == y.shape == (24, 20, 1) and x.dtype == np.float32


def test_slices_are_turned_into_the_axes_of_the_network(stack):
    images, labels = stack
    X, Y, _ = loaded(STACK, {"axes": "XY"}, {"patch_size": [16, 16]})
    np.testing.assert_allclose(X[1][..., 0], scaled(images[2]).T, atol=1e-6)
    np.testing.assert_array_equal(Y[1][..., 0], labels[2].T)


def test_a_class_that_no_training_image_has_is_warned_of(stack, caplog):
    with caplog.at_level(logging.WARNING, "aeanet_tf"):
        loaded(STACK)
        assert not caplog.messages
        loaded(STACK, {"labels": [0, 7, 255, 9], "n_channel_out": 4})
    assert caplog.messages == ["model.labels: no training image has the class 7, 9"]


def test_training_from_a_stack_leaves_a_model_and_its_losses(stack, tmp_path):
    with eager_tensorflow():
        model = train_run(configured(STACK), verbose=0)
    names = contents(tmp_path / "models" / "m")
    assert {"config.json", "run.json", "weights_best.h5", "history.csv"} <= set(names)
    written = json.loads((tmp_path / "models" / "m" / "config.json").read_text())
    assert written["labels"] == [0, 255] and written["n_channel_out"] == 2
    assert set(np.unique(model.predict(stack[0][1], "YX"))) <= {0, 255}


@pytest.mark.parametrize("shape", [(5, 24, 22), (4, 24, 20)])
def test_a_label_stack_of_another_size_is_refused(stack, tmp_path, shape):
    write_image(tmp_path / "data" / "labels.tif", np.zeros(shape, np.uint8), "ZYX")
    count, size = shape[0], re.escape(str(shape[1:]))
    message = rf"labels\.tif: {count} slices of {size}, expected 5 slices of \(24, 20\) as data.images\.tif has"
    refused(tmp_path, message, STACK)


def test_an_unknown_label_is_named_with_its_slice(stack, tmp_path):
    labels = stack[1].copy()
    labels[3, 5, 5] = 9
    # A slice that is not used may have it.
    labels[1] = 13
    write_image(tmp_path / "data" / "labels.tif", labels, "ZYX")
    message = r"labels\.tif, slice 3: has the value 9, expected labels \[0, 255\]"
    refused(tmp_path, message, STACK)


@pytest.mark.parametrize(
    ("changes", "model", "message"),
    [
        ({"validation_slices": "1-2,4"}, {}, r"data\.validation_slices: 2 is one of data\.train_slices"),
        ({"validation_slices": "5"}, {}, r"data\.validation_slices: there is no slice 5, expected 0 to 4"),
        ({"train_slices": "a"}, {}, r"data\.train_slices: found 'a'"),
        ({"stack": "none.tif"}, {}, r"none\.tif: no such file"),
        ({"label_stack": "none.tif"}, {}, r"none\.tif: no such file"),
        ({}, {"n_channel_in": 2}, "slice 0: found 1 channels, expected 2"),
    ],
)
def test_slices_that_cannot_be_used_are_refused(stack, tmp_path, changes, model, message):
    refused(tmp_path, message, {**STACK, **changes}, model)


def test_a_stack_is_not_for_a_3d_model(stack, tmp_path):
    message = r"model\.axes: ZYXC, expected YX for the slices of a stack"
    refused(tmp_path, message, STACK, {"axes": "ZYX"}, {"patch_size": [4, 16, 16]})


@pytest.mark.parametrize("missing", ["stack", "label_stack", "train_slices", "validation_slices"])
def test_a_stack_takes_all_of_its_fields(missing):
    data = {name: value for name, value in STACK.items() if name != missing}
    with pytest.raises(
        InputError, match=rf"run\.json: data: {missing}: missing; kind 'labels' needs it beside"
    ) as error:
        configured(data)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("missing", ["train_subjects", "validation_subjects"])
def test_iseg_takes_the_numbers_of_its_subjects(missing):
    data = {name: value for name, value in ISEG.items() if name != missing}
    with pytest.raises(InputError, match=f"{missing}: missing; kind 'iseg' needs it"):
        configured(data, VOLUMES)


@pytest.fixture
def folders(tmp_path):
    """Four pairs of 2D images."""
    rng, pairs = np.random.default_rng(1), {}
    for number, name in enumerate("abcd"):
        image = rng.random((20 + 2 * number, 24)).astype(np.float32)
        pairs[name] = image, np.uint8([0, 255])[(image > 0.5).astype(int)]
        for folder, array in zip(("low", "GT"), pairs[name], strict=True):
            write_image(tmp_path / "data" / folder / f"{name}.tif", array, "YX")
    return pairs


def check_pairs(found, pairs, names):
    for images, index in zip(found, (0, 1), strict=True):
        assert len(images) == len(names)
        for one, name in zip(images, names, strict=True):
            expected = pairs[name][index]
            np.testing.assert_allclose(one[..., 0], expected if index else scaled(expected), atol=1e-6)


def test_the_last_share_of_a_folder_is_held_out(folders):
    X, Y, validation = loaded({**FOLDERS, "validation_split": 0.5})
    check_pairs((X, Y), folders, "ab")
    check_pairs(validation, folders, "cd")


def test_folders_to_validate_on_leave_all_pairs_to_train_on(folders, tmp_path):
    image = np.random.default_rng(2).random((32, 20)).astype(np.float32)
    extra = {"v": (image, np.uint8([0, 255])[(image > 0.3).astype(int)])}
    for folder, array in zip(("low2", "GT2"), extra["v"], strict=True):
        write_image(tmp_path / "data" / folder / "v.tif", array, "YX")
    X, Y, validation = loaded({**FOLDERS, "validation_low": "low2", "validation_GT": "GT2"})
    check_pairs((X, Y), folders, "abcd")
    check_pairs(validation, extra, "v")


def test_label_images_that_do_not_fit_their_images_are_refused(folders, tmp_path):
    path, data = tmp_path / "data" / "GT" / "b.tif", {**FOLDERS, "validation_split": 0.5}
    write_image(path, folders["b"][1][:, :-1], "YX")
    message = r"b\.tif: shape \(22, 23\) \(YX\), expected \(22, 24\) as data.low.b\.tif has"
    refused(tmp_path, message, data)
    # Volumes and colours beside planes.
    for array, axes in ((np.zeros((3, 22, 24), np.uint8), "ZYX"), (np.zeros((22, 24, 3), np.uint8), "YXC")):
        write_image(path, array, axes)
        refused(tmp_path, r"GT.b\.tif: axes (ZYX|CYX|YXC), expected YX, labels without channels", data)
    write_image(path, np.full((22, 24), 3, np.uint8), "YX")
    refused(tmp_path, r"GT.b\.tif: has the value 3, expected labels \[0, 255\]", data)
    path.unlink()
    refused(tmp_path, r"low: 1 of 4 images have no partner of the same name in .*GT: b\.tif", data)


@pytest.mark.parametrize(("share", "held"), [(0.1, "d"), (0.9, "bcd")])
def test_at_least_one_image_is_held_out_and_one_left(folders, share, held):
    check_pairs(loaded({**FOLDERS, "validation_split": share})[2], folders, held)


def test_the_end_of_a_single_image_is_held_out(folders, tmp_path):
    for folder in ("low", "GT"):
        for name in "bcd":
            (tmp_path / "data" / folder / f"{name}.tif").unlink()
    image, labels = folders["a"]
    refused(tmp_path, r"a\.tif: the only image, .* pixels along .*expected 32, a patch to train on", FOLDERS)
    config = configured(FOLDERS, training={"patch_size": [8, 8]})
    X, Y, validation = load_data(config.data, model_config(config))[:3]
    parts = [np.concatenate([one[0], other[0]], 1)[..., 0] for one, other in zip((X, Y), validation, strict=True)]
    np.testing.assert_allclose(parts[0], scaled(image), atol=1e-6)
    np.testing.assert_array_equal(parts[1], labels)
    assert X[0].shape[1] == 16 and validation[0][0].shape[1] == 8


CHANNELS = {**FOLDERS, "channels": ["T1", "T2"], "validation_split": 0.5}


@pytest.fixture
def scans(tmp_path):
    """Two volumes whose channels are files of their own, with an affine that turns."""
    nibabel = pytest.importorskip("nibabel")
    rng, affine, written = np.random.default_rng(3), np.diag([2.0, 2, 3, 1])[[1, 0, 2, 3]], {}
    for folder in ("low", "GT"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for name in "pq":
        t1, t2 = (rng.integers(0, 900, (18, 20, 22)).astype(np.int16) for _ in range(2))
        labels = np.uint8([0, 10, 150, 250])[rng.integers(0, 4, t1.shape)]
        for path, array in (("low/{}-T1", t1), ("low/{}-T2", t2), ("GT/{}-T1", labels)):
            nibabel.Nifti1Image(array, affine).to_filename(tmp_path / "data" / f"{path.format(name)}.nii.gz")
        written[name] = t1, t2, labels
    return written


def test_channels_in_files_of_their_own_are_one_image(scans):
    X, Y, (X_val, Y_val) = loaded(CHANNELS, VOLUMES, {"patch_size": [16, 16, 16]})
    for x, y, name in ((X, Y, "p"), (X_val, Y_val, "q")):
        t1, t2, labels = (array.T for array in scans[name])
        assert len(x) == len(y) == 1 and x[0].shape == (22, 20, 18, 2)
        np.testing.assert_allclose(x[0], scaled(np.stack([t1, t2], -1), (0, 1, 2)), atol=1e-5)
        np.testing.assert_array_equal(y[0][..., 0], labels)


def test_channels_that_do_not_fit_each_other_are_refused(scans, tmp_path):
    import nibabel

    path, sizes = tmp_path / "data" / "low" / "p-T2.nii.gz", {"patch_size": [16, 16, 16]}
    nibabel.Nifti1Image(scans["p"][1][:-1], np.eye(4)).to_filename(path)
    message = r"p-T2\.nii\.gz: found shape \(22, 20, 17\) \(ZYX\), expected \(22, 20, 18\)"
    refused(tmp_path, message, CHANNELS, VOLUMES, sizes)
    path.unlink()
    refused(tmp_path, r"p-T2\.nii\.gz: no such file, expected channel 'T2'", CHANNELS, VOLUMES, sizes)


def test_channels_of_values_that_are_not_finite_are_refused(tmp_path):
    for name in ("low/a-T1", "low/a-T2", "GT/a-T1", "low/b-T1", "low/b-T2", "GT/b-T1"):
        write_image(tmp_path / "data" / f"{name}.tif", np.eye(20, dtype=np.float32), "YX")
    bad = np.eye(20, dtype=np.float32)
    bad[3, 3] = np.nan
    tifffile.imwrite(tmp_path / "data" / "low" / "a-T2.tif", bad)
    model = {"n_channel_in": 2, "labels": [0, 1]}
    refused(tmp_path, r"a-T2\.tif: .*NaN", CHANNELS, model)


@pytest.fixture
def subjects(tmp_path):
    pytest.importorskip("nibabel")
    return write_iseg(tmp_path / "data", (1, 2, 3, 4), size=(20, 24, 22), unlabelled=(4,))


def test_subjects_are_cropped_to_their_brains_and_standardised_over_them(subjects):
    X, Y, (X_val, Y_val) = loaded(ISEG, VOLUMES, {"patch_size": [16, 16, 16]})
    assert (len(X), len(Y), len(X_val), len(Y_val)) == (2, 2, 1, 1)
    for number, x, y in zip((1, 2, 3), [*X, *X_val], [*Y, *Y_val], strict=True):
        t1, t2, indices = subjects[number]
        brain = (t1 > 0) | (t2 > 0)
        box = tuple(slice(places.min(), places.max() + 1) for places in np.nonzero(brain))
        expected = [(t - t[brain].mean()) / t[brain].std() for t in (t1, t2)]
        np.testing.assert_allclose(x, np.stack(expected, -1)[box], atol=1e-5)
        np.testing.assert_array_equal(y[..., 0], np.array([0, 10, 150, 250])[indices][box])


def _without(name):
    def spoil(folder):
        (folder / name).unlink()

    return spoil


def _rewritten(name, array):
    def spoil(folder):
        import nibabel

        nibabel.AnalyzeImage(array, None).to_filename(folder / name)

    return spoil


def _nothing(folder):
    pass


LABELS = np.zeros((22, 24, 20), np.uint8)
LABELS[3, 4, 5] = 77


@pytest.mark.parametrize(
    ("spoil", "changes", "message"),
    [
        (_nothing, {"train_subjects": "1,8"}, r"data\.train_subjects: data has no subject 8, it has 1, 2, 3, 4"),
        (_nothing, {"validation_subjects": "9"}, r"data\.validation_subjects: data has no subject 9"),
        (_nothing, {"validation_subjects": "2-3"}, r"data\.validation_subjects: 2 is one of data\.train_subjects"),
        (_nothing, {"train_subjects": "one"}, r"data\.train_subjects: found 'one', expected numbers of subjects"),
        (_nothing, {"validation_subjects": "4"}, r"subject-4-label\.hdr: no such file, expected the labels"),
        (_nothing, {"root": "elsewhere"}, r"data\.root: no folder elsewhere"),
        (_without("subject-2-T2.img"), {}, r"subject-2-T2\.img: no such file"),
        (_without("subject-2-T1.hdr"), {}, r"subject-2-T1\.hdr: no such file"),
        (
            _rewritten("subject-1-T2.hdr", np.ones((22, 24, 19), np.int16)),
            {},
            r"subject-1-T2\.hdr: found shape \(19, 24, 22\) \(ZYX\), expected \(20, 24, 22\) as subject-1-T1\.hdr has",
        ),
        (_rewritten("subject-3-label.hdr", LABELS), {}, r"subject-3-label\.hdr: has the value 77, expected labels"),
    ],
)
def test_subjects_that_cannot_be_used_are_refused(subjects, tmp_path, spoil, changes, message):
    spoil(tmp_path / "data")
    refused(tmp_path, message, {**ISEG, **changes}, VOLUMES, {"patch_size": [16, 16, 16]})


@pytest.mark.parametrize(
    ("model", "training"),
    [
        ({"labels": None}, {}),
        ({"labels": [0, 10, 250, 150]}, {}),
        ({"axes": "YX"}, {"patch_size": [16, 16]}),
    ],
)
def test_iseg_has_labels_and_axes_of_its_own(subjects, tmp_path, model, training):
    message = r"model\.labels, model\.axes: \[.*\] and \w+, expected \[0, 10, 150, 250\] and ZYX for iSeg"
    refused(tmp_path, message, ISEG, {**VOLUMES, **model}, {"patch_size": [16, 16, 16], **training})


@pytest.mark.parametrize(
    ("data", "model", "training", "message"),
    [
        (STACK, {}, {"loss": "mae"}, r"training\.loss: 'mae', expected one of cross_entropy, dice, .*'labels'"),
        ({"kind": "sample"}, {"labels": None}, {"loss": "dice"}, r"training\.loss: 'dice', expected one of mae"),
        (
            {"kind": "folders"},
            {},
            {"loss": "mse"},
            r"model\.labels: \[0, 255\], expected none with data\.kind 'folders'; it is for segmentation",
        ),
        (
            {"kind": "folders"},
            {"labels": None},
            {"loss": "mse", "class_weights": [1, 2]},
            r"training\.class_weights: \[1\.0, 2\.0\], expected none with data\.kind 'folders'",
        ),
        (STACK, {"n_channel_out": 1, "labels": None}, {}, "n_channel_out: 1, expected the number of classes"),
        (STACK, {"labels": [0, 1, 2]}, {}, r"labels: \[0, 1, 2\], expected 2 different whole numbers"),
        (STACK, {"labels": [3, 3]}, {}, r"labels: \[3, 3\], expected 2 different whole numbers"),
        (
            STACK,
            {"labels": [0, 65536]},
            {},
            r"labels: \[0, 65536\], expected 2 different whole numbers from 0 to 65535",
        ),
        (STACK, {}, {"class_weights": [1, 2, 3]}, r"class_weights: .* expected 2 positive numbers"),
        (STACK, {"preset": "ssan"}, {}, r"data\.kind: 'labels' does not fit model\.preset 'ssan'"),
        (STACK, {"preset": "aeanet-flywing", "axes": "ZYX", "network": {}}, {"patch_size": [16, 16, 16]}, "no U-Net"),
        (STACK, {}, {"patch_size": None}, r"training\.patch_size: missing"),
        (STACK, {}, {"patch_size": [15, 16]}, "training patches: 15 along Y, expected a multiple of 2"),
        (STACK, {}, {"patch_size": [32, 16]}, "patch_size"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(stack, tmp_path, data, model, training, message):
    refused(tmp_path, message, data, model, training)
