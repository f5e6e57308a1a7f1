"""Models of standardised images, as for label-free prediction, say so when they are exported."""

import re

import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.interop.bioimageio import export_bioimageio, require_spec
from aeanet_tf.interop.fiji import settings
from aeanet_tf.models import AEANet, AEANetConfig
from aeanet_tf.models.folder import save_normalization
from aeanet_tf.models.preparation import NormalizationSection
from tests.interop.example_models import REFERENCES, randomise

STANDARD = NormalizationSection(kind="standard")
NONZERO = NormalizationSection(kind="standard", over="nonzero")


def small_model(folder=None):
    config = AEANetConfig("YX", 2, 2, unet_n_first=4, network=REFERENCES)
    model = AEANet(config, "m", None if folder is None else str(folder))
    randomise(model.keras_model)
    return model


def test_a_package_standardises_each_channel_and_leaves_the_output(tmp_path, monkeypatch):
    core = pytest.importorskip("bioimageio.core")
    try:
        require_spec()
    except InputError as error:
        pytest.skip(str(error))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    facts = {"authors": ["Ada Example, An Institute"], "license": "CC-BY-4.0"}
    path = export_bioimageio(small_model(), tmp_path / "package", normalization=STANDARD, **facts)
    described = core.load_description(path)
    step = described.inputs[0].preprocessing[1]
    assert step.id == "zero_mean_unit_variance" and [str(axis) for axis in step.kwargs.axes] == ["y", "x"]
    assert {step.id for step in described.outputs[0].postprocessing} <= {"ensure_dtype"}
    # Its test output was predicted by this package, with `StandardNormalizer`.
    summary = core.load_description_and_test(path, weight_format="keras_v3").validation_summary
    assert summary.status == "passed", summary.format()


def test_the_fiji_plugin_is_given_standardised_images(tmp_path):
    model = small_model(tmp_path)
    save_normalization(tmp_path / "m", STANDARD)
    assert settings(model).startswith("'Normalize Input' off, after subtracting the image's mean and dividing by its")
    save_normalization(tmp_path / "m", NONZERO)
    wanted = "'Normalize Input' off, after subtracting from each channel its mean .* where any channel is above 0;"
    assert re.match(wanted, settings(model))


def test_a_package_cannot_say_which_positions_count(tmp_path):
    try:
        require_spec()
    except InputError as error:
        pytest.skip(str(error))
    facts = {"authors": ["Ada Example"], "license": "CC-BY-4.0"}
    with pytest.raises(
        InputError, match=r"^normalization\.over: found 'nonzero', expected 'all': a package cannot say"
    ):
        export_bioimageio(small_model(), tmp_path / "package", normalization=NONZERO, **facts)
    assert not list(tmp_path.iterdir())
