"""The scale of probabilistic output."""

import keras
from keras import ops

from aeanet_tf.layers.steps import Pointwise


@keras.saving.register_keras_serializable(package="aeanet_tf")
class Scale(Pointwise, keras.layers.Layer):
    """The scale of the Laplace distribution: ``softplus(x) + minimum``, with minimum 1e-3."""

    def __init__(self, minimum=1e-3, **kwargs):
        super().__init__(**kwargs)
        self.minimum = minimum

    def call(self, x):
        return ops.softplus(x) + self.minimum

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "minimum": self.minimum}
