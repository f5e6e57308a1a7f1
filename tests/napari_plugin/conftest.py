"""Models that nobody trained, layers, and a window without a screen."""

import gc
import os
import time

import numpy as np
import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

FULL_SECONDS = 90


@pytest.fixture(scope="session")
def application():
    """Qt without a screen."""
    try:
        from napari.qt import get_qapp
    except Exception as error:
        pytest.skip(f"napari with Qt is not installed ({error})")
    return get_qapp()


@pytest.fixture(autouse=True)
def garbage():
    """Collected so often that a part of a window deleted in the thread of a job would be seen: it ends the process."""
    thresholds = gc.get_threshold()
    gc.set_threshold(200, 3, 3)
    yield
    gc.set_threshold(*thresholds)


@pytest.fixture
def viewer(application, tmp_path, monkeypatch):
    """The model of a viewer, which needs no OpenGL; settings of the plugin in a folder of the test."""
    from napari.components import ViewerModel

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return ViewerModel()


@pytest.fixture
def wait(application):
    """``wait(widget)`` lets the window work until the job of a widget has ended."""

    def until(widget, condition=None):
        end = time.monotonic() + FULL_SECONDS
        while (widget.running if condition is None else not condition()) and time.monotonic() < end:
            application.processEvents()
            time.sleep(0.01)
        assert time.monotonic() < end, widget.line.text()
        application.processEvents()

    return until


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Kind of model -> folder of one; of restoration in 2D and 3D, projection and segmentation."""
    from aeanet_tf.models import (
        AEANet,
        AEANetConfig,
        ProjectionAEANet,
        ProjectionAEANetConfig,
        SegmentationAEANet,
        SegmentationAEANetConfig,
    )
    from aeanet_tf.models.folder import save_normalization
    from aeanet_tf.models.preparation import NormalizationSection

    base, small = tmp_path_factory.mktemp("models"), {"unet_n_first": 4, "train_seed": 0}
    projection = {"filters": 4, "restoration": {"first_filters": 4}}
    made = {
        "planes": (AEANet, AEANetConfig("YX", preset="aeanet-em", **small)),
        "volumes": (AEANet, AEANetConfig("ZYX", preset="aeanet-em", unet_n_depth=2, **small)),
        "flat": (ProjectionAEANet, ProjectionAEANetConfig("ZYX", network=projection)),
        "classes": (SegmentationAEANet, SegmentationAEANetConfig("YX", preset="aeanet-em", labels=[0, 7], **small)),
    }
    for name, (model_class, config) in made.items():
        model = model_class(config, name, str(base))
        model.write_weights(model.logdir / "weights_best.h5")
        # Not what `AEANet.predict` does by itself.
        save_normalization(model.logdir, NormalizationSection(kind="range", low=0, high=50))
    return {name: base / name for name in made}


@pytest.fixture(scope="session")
def image():
    """Rough structures, float32 ``(48, 40)``."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :40] / 40
    return (20 + 10 * np.sin(9 * x + 5 * y) + rng.normal(0, 3, x.shape)).astype("float32")
