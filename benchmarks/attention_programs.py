"""Four programs for one operator: every position of an image attends to all of them, with two heads.

All take and give ``(1, y, x, channels)`` in float32 and have weights of the same sizes: query, key, value and output
projections of channels x channels, with biases. The first three compute the same; Keras's layer normalises by softmax:

* ``moments``: `GlobalAttention`, from the moments of the input;
* ``direct``: `GlobalAttention(computation="direct")`, which forms Q, K and V and evaluates ``Q (K^T V) / n``;
* ``matrix``: ``(Q K^T / n) V`` as the formula stands, with its matrix of heads x positions x positions;
* ``softmax``: ``keras.layers.MultiHeadAttention``, which has such a matrix, too.
"""

import keras
import numpy as np
from agreement import check_agreement
from compiled import forward, forward_backward
from hardware import available_memory, gpus
from keras import ops
from peak_memory import extra_memory
from timing import wait

from aeanet_tf.layers import GlobalAttention

HEADS = 2
SAME = ("moments", "direct", "matrix")
PROGRAMS = (*SAME, "softmax")
# What is alive at a time in units of the input, rounded up: beyond the memory that is free nothing is started.
ALIVE = {"forward": {"moments": 4, "direct": 8, "matrix": 8, "softmax": 8}}
ALIVE["forward+backward"] = {"moments": 8, "direct": 13, "matrix": 13, "softmax": 13}
# And matrices of heads x positions x positions.
MATRICES = {"forward": {"matrix": 1, "softmax": 2}, "forward+backward": {"matrix": 2, "softmax": 4}}


@keras.saving.register_keras_serializable(package="benchmarks")
class MatrixAttention(keras.layers.Layer):
    """Length-normalised attention by way of the attention matrix, weights in the order of `GlobalAttention`."""

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.k, self.v, self.out, self.q = (keras.layers.Dense(channels, name=name) for name in ("k", "v", "out", "q"))

    def build(self, shape):
        for layer in (self.k, self.v, self.out, self.q):
            layer.build(shape)

    def call(self, x, training=None):
        shape = ops.shape(x)
        q, k, v = (
            ops.reshape(layer(x), (shape[0], -1, HEADS, x.shape[-1] // HEADS)) for layer in (self.q, self.k, self.v)
        )
        # The factors on the query: on the matrix they would cost a pass over it.
        q = q * (q.shape[-1] ** -0.5) / ops.cast(ops.shape(q)[1], q.dtype)
        y = ops.einsum("bhqk,bkhe->bqhe", ops.einsum("bqhd,bkhd->bhqk", q, k), v)
        return self.out(ops.reshape(y, shape))


@keras.saving.register_keras_serializable(package="benchmarks")
class SoftmaxAttention(keras.layers.Layer):
    """Keras's multi-head attention of an image's positions to themselves."""

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.attention = keras.layers.MultiHeadAttention(HEADS, channels // HEADS, name="attention")

    def build(self, shape):
        self.attention.build((shape[0], None, shape[-1]), (shape[0], None, shape[-1]))

    def call(self, x, training=None):
        flat = ops.reshape(x, (ops.shape(x)[0], -1, x.shape[-1]))
        return ops.reshape(self.attention(flat, flat, training=training), ops.shape(x))


def make_layer(program, channels):
    """The built layer of a program, with weights that are the same for all of `SAME`."""
    if program in ("moments", "direct"):
        layer = GlobalAttention(channels, size="same", num_heads=HEADS, computation=program)
    else:
        layer = {"matrix": MatrixAttention, "softmax": SoftmaxAttention}[program](channels)
    layer.build((1, None, None, channels))
    rng = np.random.default_rng(0)
    for variable in layer.trainable_variables:
        # Biases too: those of zero would hide a program that forgets them.
        variable.assign(rng.standard_normal(variable.shape).astype("float32") / channels**0.5)
    return layer


def make_function(program, channels, mode):
    """The program compiled: a function of x, or of x and the gradient of the output."""
    compile_ = {"forward": forward, "forward+backward": forward_backward}[mode]
    return compile_(make_layer(program, channels), (1, None, None, channels))


def inputs(positions, channels, mode):
    """The arguments of a program, on the device: noise of about ``sqrt(positions) x sqrt(positions)`` pixels."""
    height = next(n for n in range(int(positions**0.5), 0, -1) if positions % n == 0)
    shape, rng = (1, height, positions // height, channels), np.random.default_rng(1)
    count = 1 if mode == "forward" else 2
    return [ops.convert_to_tensor(rng.standard_normal(shape, "float32")) for _ in range(count)]


def matrix_bytes(positions):
    """Size of one attention matrix of all heads in float32."""
    return 4 * HEADS * positions**2


def fits(program, positions, channels, mode, limit):
    """Whether a program may be started: its attention matrix is within ``limit`` bytes, and all of it in memory."""
    matrices = MATRICES[mode].get(program, 0)
    if matrices and matrix_bytes(positions) > limit:
        return False
    needed = 4 * positions * channels * ALIVE[mode][program] + matrices * matrix_bytes(positions)
    # A GPU's allocator says itself when it has no more.
    return bool(gpus()) or needed < 0.9 * available_memory()


def starts(function, arguments):
    """Whether a GPU has the memory for a call, which is made to find out; `fits` says so of a CPU."""
    if not gpus():
        return True
    try:
        wait(function(*arguments))
    except Exception as error:
        if is_out_of_memory(error):
            return False
        raise
    return True


def is_out_of_memory(error):
    """Whether an exception of TensorFlow, JAX, or of a process apart says that memory ran out."""
    return any(name in f"{type(error).__name__}: {error}" for name in ("ResourceExhausted", "RESOURCE_EXHAUSTED"))


def check_programs(positions, channels, mode, tolerance=1e-3):
    """Raise `DisagreementError` unless the programs of `SAME` agree, gradients included; see `check_agreement`."""
    results = {}
    for program in SAME:
        found = make_function(program, channels, mode)(*inputs(positions, channels, mode))
        found = [found] if mode == "forward" else [found[0], *found[1]]
        results[program] = [ops.convert_to_numpy(array) for array in found]
    return check_agreement(results, "direct", tolerance)


def extra_bytes(program, positions, channels, mode):
    """Memory that one call takes beyond weights and arguments; for a process of its own, see `extra_memory`."""
    function = make_function(program, channels, mode)

    def prepare(size):
        arguments = inputs(size, channels, mode)

        def run():
            result = function(*arguments)
            wait(result)
            return result

        return run

    return extra_memory(prepare, 64, positions)
