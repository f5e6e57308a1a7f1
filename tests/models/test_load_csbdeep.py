"""CSBDeep is imported without SciPy's statistics, and has them where it uses them."""

import subprocess
import sys


def test_what_is_imported_later_works():
    # Where scikit-learn is installed, Keras imports it, and with it all of SciPy.
    code = """
import sys
sys.modules["sklearn"] = None
from aeanet_tf.models import AEANet
later = [name for name in ("scipy.stats", "scipy.ndimage") if name in sys.modules]
import numpy as np
from csbdeep.internals.probability import ProbabilisticPrediction
from csbdeep.models.care_isotropic import zoom
import scipy.stats, scipy.ndimage
rng = np.random.default_rng(0)
mean, scale = rng.normal(size=(4, 5)), rng.uniform(1, 2, (4, 5))
found = ProbabilisticPrediction(mean, scale)[1, 2].pdf(0.3)
expected = scipy.stats.laplace(mean[1, 2], scale[1, 2]).pdf(0.3)
print(later, np.allclose(found, expected), np.array_equal(zoom(mean, 2), scipy.ndimage.zoom(mean, 2)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[-2] == "[] True True"
