"""Plugin for pytest, for CSBDeep's own tests: its names stand for the classes of this package."""

import csbdeep.models
import pytest

from aeanet_tf import models

SWAPPED = {
    "Config": "AEANetConfig",
    "CARE": "AEANet",
    "ProjectionConfig": "ProjectionAEANetConfig",
    "ProjectionCARE": "ProjectionAEANet",
    "IsotropicCARE": "IsotropicAEANet",
    "UpsamplingCARE": "UpsamplingAEANet",
}
# Tests of what is not there.
SKIPPED = {
    f"test_model_{word}_predict": name
    for word, name in (("isotropic", "IsotropicAEANet"), ("upsampling", "UpsamplingAEANet"))
    if not hasattr(models, name)
}
# Of CSBDeep's own functions, not of a class (docs/python.md lists what differs).
DESELECTED = ("test_tile_overlap",)

for theirs, ours in SWAPPED.items():
    if hasattr(models, ours):
        setattr(csbdeep.models, theirs, getattr(models, ours))


def pytest_collection_modifyitems(config, items):
    kept = [item for item in items if item.originalname not in DESELECTED]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
    for item in items:
        # Under Keras 3 CSBDeep asks for exports to be refused, under earlier ones for them to be written.
        item.module.IS_KERAS_3_PLUS = False
        if item.originalname in SKIPPED:
            item.add_marker(pytest.mark.skip(f"there is no {SKIPPED[item.originalname]}"))
