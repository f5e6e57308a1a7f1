"""L2 on the kernels of a network that is built already."""

import keras


def penalise_kernels(network, factor):
    """Add ``factor * sum(kernel^2) / 2``, over all kernels, to the loss that a network is trained with.

    Kernels are those of convolutions, projections and the convolutions of attention; biases, batch norm and shared
    references are not among them. The half is that of TensorFlow 1's ``l2_loss``, with which the published factor of
    Non-local U-Nets, 2e-6, goes (Wang et al. 2020, in their program).

    Args:
        network: a Keras model.
        factor: of the penalty; 0 for none.
    """
    penalty = keras.regularizers.L2(factor / 2) if factor else None
    for variable in network.trainable_variables:
        if variable.name == "kernel":
            variable.regularizer = penalty
