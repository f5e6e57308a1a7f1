"""The arguments that a layer was made with, for the configuration that Keras saves with a model."""

import keras


def arguments(layer, names):
    """A layer's attributes of these names, which blanks separate; initialisers serialised."""
    values = {name: getattr(layer, name) for name in names.split()}
    if "kernel_initializer" in values:
        values["kernel_initializer"] = keras.initializers.serialize(layer.kernel_initializer)
    return values
