"""Every layer of ours that a network is built of is known to whatever reads networks."""

import keras
import pytest

from aeanet_tf.interop.portable import _replaced
from aeanet_tf.layers import GlobalAttention, Projection, SparseAttentionUnit
from aeanet_tf.networks.graph import steps
from aeanet_tf.prediction.liveness import _Program

# Parts of other layers, which no network applies itself.
PARTS = {GlobalAttention, Projection, SparseAttentionUnit}
LAYERS = sorted(
    (
        found
        for name, found in keras.saving.get_custom_objects().items()
        if name.startswith("aeanet_tf>")
        and isinstance(found, type)
        and issubclass(found, keras.layers.Layer)
        and found not in PARTS
    ),
    key=lambda found: found.__name__,
)


def test_the_layers_are_found():
    assert {"GVTO", "ResidualBlock", "MaskBlend"} <= {found.__name__ for found in LAYERS} and len(LAYERS) >= 13


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_is_known(layer):
    assert callable(layer.receptive_steps), "to the receptive field"
    memory = vars(_Program)["_operations"].dispatcher
    assert memory.dispatch(layer) is not memory.dispatch(object), "to the estimate of memory"
    assert _replaced.dispatch(layer) is not _replaced.dispatch(object), "to the portable form"


def test_an_unknown_layer_is_refused():
    class Unknown(keras.layers.Layer):
        pass

    with pytest.raises(TypeError, match="Unknown is not known to the receptive field"):
        steps(Unknown(), -1)
