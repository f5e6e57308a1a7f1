"""``aeanet import-tf1`` on the checkpoints of the original programs, against their outputs."""

import numpy as np
import pytest

from aeanet_tf.cli.main import main
from aeanet_tf.models.folder import load_model
from tests.golden.original import GOLDEN, load, needs_golden, relative_error

pytestmark = needs_golden

CASES = {
    "aeanet_lib64": ("model.ckpt-120000", "aeanet-em"),
    "gvtnet_care": ("model.ckpt-pretrained", "gvtnet-care"),
    "gvtnet_flywing": ("model.ckpt-pretrained", "gvtnet-flywing"),
    "gvtnet_labelfree": ("model.ckpt-pretrained", "gvtnet-labelfree"),
    "gvtnet_down_v2": ("model.ckpt-1", "gvtnet-care"),
    "gvtnet_up_v1": ("model.ckpt-1", "gvtnet-care"),
}


def imported(name, folder, *arguments):
    prefix = GOLDEN / name / CASES[name][0]
    assert main(["import-tf1", "--checkpoint", str(prefix), "--output", str(folder), *arguments]) == 0
    return load_model(folder)


@pytest.mark.parametrize("name", CASES)
def test_imported_models_predict_as_the_originals(name, tmp_path):
    model = imported(name, tmp_path / "m")
    if name == "aeanet_lib64":
        golden = load("aeanet_lib64_infer")
        x, expected = golden["input_uint16"].astype("float32") / 65535, golden["prediction"]
    else:
        golden = load(name)
        # The label-free network has no offset; the golden prediction does.
        x, expected = golden["input"], golden["network_output" if name == "gvtnet_labelfree" else "prediction"]
    assert relative_error(np.asarray(model.keras_model(x))[..., :1], expected) < 1e-4


@pytest.mark.parametrize("name", CASES)
def test_the_preset_is_the_one_that_is_found(name, tmp_path):
    """With the preset given the spec is that without, and the files are the same."""
    found, given = imported(name, tmp_path / "m"), imported(name, tmp_path / "n", "--preset", CASES[name][1])
    assert found.config.preset == given.config.preset == CASES[name][1]
    assert found.spec == given.spec
    for one, other in zip(found.keras_model.weights, given.keras_model.weights, strict=True):
        np.testing.assert_array_equal(one, other)
