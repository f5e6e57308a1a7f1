"""What is kept from Keras and CSBDeep while they are imported is there for everybody else."""

import gc
import importlib
import subprocess
import sys

import numpy as np
import pytest
from csbdeep.data import no_background_patches
from csbdeep.internals.probability import ProbabilisticPrediction

from aeanet_tf import startup

# A small module of Python.
NAME = "colorsys"


@pytest.fixture
def unknown(monkeypatch):
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    yield
    sys.modules.pop(NAME, None)


def test_hidden_modules_seem_not_to_be_installed_and_are_afterwards(unknown):
    assert "json" in sys.modules
    with startup._hidden((NAME, "json")):
        with pytest.raises(ImportError):
            importlib.import_module(NAME)
        assert importlib.import_module("json").dumps([]) == "[]"
    assert NAME not in sys.modules and importlib.import_module(NAME).rgb_to_hsv(0, 0, 1)[2] == 1


def test_hidden_modules_come_back_after_a_failed_import(unknown):
    with pytest.raises(RuntimeError), startup._hidden((NAME,)):
        raise RuntimeError
    assert NAME not in sys.modules


def test_deferred_functions_import_their_module_when_they_are_used(unknown):
    with startup.deferred({NAME: ("rgb_to_hsv",)}):
        from colorsys import rgb_to_hsv
    assert NAME not in sys.modules
    assert rgb_to_hsv(0, 0, 1)[2] == 1 and NAME in sys.modules
    with startup.deferred({NAME: ("rgb_to_hsv",)}):
        from colorsys import rgb_to_hsv as real
    assert real is sys.modules[NAME].rgb_to_hsv


def test_other_names_of_a_deferred_module_are_the_modules_own(unknown):
    with startup.deferred({NAME: ("rgb_to_hsv",)}):
        from colorsys import ONE_THIRD

        assert sys.modules[NAME].rgb_to_hsv(0, 0, 1)[2] == 1
        with pytest.raises(ImportError):
            from colorsys import nothing  # noqa: F401
    assert ONE_THIRD == 1 / 3


def test_csbdeep_computes_with_what_was_deferred():
    """Here it may have been imported otherwise; either way the numbers are those of the distribution."""
    loc, scale = np.float64([[1, 2]]), np.float64([[3, 4]])
    found = ProbabilisticPrediction(loc, scale)
    np.testing.assert_allclose(found.std(), np.sqrt(2) * scale)
    np.testing.assert_allclose(found.cdf(loc + scale), 1 - np.exp(-1) / 2)
    assert no_background_patches()(np.ones((1, 8, 8)), (4, 4)).all()


def test_garbage_is_collected_again():
    assert gc.isenabled()
    with startup._uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.parametrize("package", ["layers", "networks", "training"])
def test_packages_leave_keras_to_load_backend(package):
    """So that TensorFlow's chatter goes where `load_backend` sends it."""
    code = (
        "import sys\nfrom aeanet_tf import startup\ndef stop(): sys.exit(int('keras' in sys.modules) + 7)\n"
        f"startup.load_backend = stop\nimport aeanet_tf.{package}"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7
