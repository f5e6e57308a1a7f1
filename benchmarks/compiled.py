"""Functions and layers compiled, forward and with gradients, on TensorFlow and on JAX, without XLA on the former."""

import keras


def compiled(function):
    """A function of arrays, compiled for the shapes that it is called with."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, autograph=False, jit_compile=False)


def forward(layer, shape):
    """``function(x) -> y`` of a built layer, compiled.

    Args:
        layer: a built layer that takes ``x`` and ``training``.
        shape: of ``x``, with ``None`` where it is free. TensorFlow traces once for all sizes, as it does for networks
            whose input size is free; JAX compiles for each size.
    """
    if keras.backend.backend() == "jax":
        import jax

        trainable, others = _values(layer.trainable_variables), _values(layer.non_trainable_variables)
        run = jax.jit(lambda weights, x: layer.stateless_call(weights, others, x, training=False)[0])
        return lambda x: run(trainable, x)
    import tensorflow as tf

    run = tf.function(lambda x: layer(x, training=False), autograph=False, jit_compile=False)
    return run.get_concrete_function(tf.TensorSpec(shape))


def forward_backward(layer, shape):
    """``function(x, dy) -> (y, [dx, *dw])`` of a built layer, compiled; dy, dx, dw are gradients of a loss.

    Args:
        layer, shape: as for `forward`; ``dy`` has the shape of the output, which is taken to be that of ``x``.
    """
    if keras.backend.backend() == "jax":
        return _forward_backward_jax(layer)
    import tensorflow as tf

    def run(x, dy):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=False)
        # The output is a result, too: without it TensorFlow would leave out the product that it comes from.
        return y, tape.gradient(y, [x, *layer.trainable_variables], dy)

    run = tf.function(run, autograph=False, jit_compile=False)
    return run.get_concrete_function(tf.TensorSpec(shape), tf.TensorSpec(shape))


def _forward_backward_jax(layer):
    import jax

    trainable, others = _values(layer.trainable_variables), _values(layer.non_trainable_variables)

    @jax.jit
    def run(weights, x, dy):
        y, backward = jax.vjp(lambda w, x: layer.stateless_call(w, others, x, training=False)[0], weights, x)
        dw, dx = backward(dy)
        return y, [dx, *dw]

    return lambda x, dy: run(trainable, x, dy)


def _values(variables):
    return [variable.value for variable in variables]
