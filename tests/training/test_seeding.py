import random

import keras
import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.training import seed_everything


def test_same_seed_same_weights_and_numbers():
    def draw(seed):
        seed_everything(seed)
        layer = keras.layers.Dense(3)
        layer.build((None, 4))
        return np.concatenate([layer.get_weights()[0].ravel(), np.random.rand(2), [random.random()]])  # noqa: NPY002

    np.testing.assert_array_equal(draw(1), draw(1))
    assert not np.isclose(draw(1), draw(2)).any()


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, None, True])
def test_bad_seed(seed):
    with pytest.raises(InputError, match="seed: found"):
        seed_everything(seed)
