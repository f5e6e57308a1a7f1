"""Convolutions whose gradients, or transposed forms, are computed by other kernels than TensorFlow's for them.

For volumes TensorFlow on a processor has oneDNN's kernels forward only. Its gradients multiply columns of patches, 1.3
to 5 times as slow for each operation; and where these columns are many times as large as the tensors, as for the small
patches of a training on a processor with a large cache, it falls back to loops that are 10 to 300 times as slow. For
images it has oneDNN for all three. So here the gradient by the kernel is that of images, for one slice of the kernel at
a time; that by the input of a convolution without strides is a convolution by the kernel turned round; and that of one
with strides, which is also what a transposed convolution computes, is that of images, for the slices of one residue at
a time, for which each takes every second slice of the kernel. All are the same sums in another order.

Of images a transposed convolution is one convolution for each phase of the output, by the part of the kernel that meets
it: with AVX2 two thirds of the time of oneDNN's own, in training the same time.

Gradients are recorded as `tf.custom_gradient` does while nothing is traced; in a trace that keeps the graph for as long
as the process lives.
"""

import tensorflow as tf
from tensorflow.python.eager import record


def _recorded(name, forward, gradients, *inputs):
    """``forward(*inputs)``, of which ``gradients`` gives those by the inputs for one by the result.

    Where a graph is differentiated from outside, the gradients are those of the operations in ``forward``.
    """
    with record.stop_recording():
        y = forward(*inputs)
    record.record_operation(name, [y], list(inputs), lambda upstream: gradients(upstream, *inputs))
    return y


def convolved(x, kernel, strides):
    """The ``same``-padded convolution of volumes.

    Args:
        x: TensorFlow tensor ``(batch, z, y, x, channels)``, float32.
        kernel: ``(*size, channels, filters)``.
        strides: three integers.

    Returns:
        ``(batch, ceil(z / strides[0]), ..., filters)``.
    """

    def forward(x, kernel):
        return tf.nn.conv3d(x, kernel, (1, *strides, 1), "SAME")

    def gradients(upstream, x, kernel):
        return _by_input(upstream, kernel, strides, tf.shape(x)), _by_kernel(x, upstream, kernel, strides)

    return _recorded("VolumeConvolution", forward, gradients, x, tf.convert_to_tensor(kernel))


def transposed(x, kernel, strides):
    """The ``same``-padded transposed convolution of volumes, to ``strides`` times the size.

    Args:
        x: TensorFlow tensor ``(batch, z, y, x, channels)``, float32.
        kernel: ``(*size, filters, channels)``.
        strides: three integers.

    Returns:
        ``(batch, strides[0] * z, ..., filters)``.
    """

    def forward(x, kernel):
        return _enlarged(_by_input(x, kernel, strides, tf.shape(x) * (1, *strides, 1)), x, kernel, strides)

    def gradients(upstream, x, kernel):
        by_input = tf.nn.conv3d(upstream, kernel, (1, *strides, 1), "SAME")
        return by_input, _by_kernel(upstream, x, kernel, strides)

    return _recorded("TransposedVolumeConvolution", forward, gradients, x, tf.convert_to_tensor(kernel))


def transposed_image(x, kernel, strides):
    """The ``same``-padded transposed convolution of images, to ``strides`` times the size.

    Args:
        x: TensorFlow tensor ``(batch, y, x, channels)``, float32.
        kernel: ``(*size, filters, channels)``, not smaller than the strides.
        strides: two integers.

    Returns:
        ``(batch, strides[0] * y, strides[1] * x, filters)``.
    """

    def forward(x, kernel):
        return _enlarged(_interleaved_phases(x, kernel, strides), x, kernel, strides)

    def gradients(upstream, x, kernel):
        by_kernel = tf.raw_ops.Conv2DBackpropFilter(
            input=upstream, filter_sizes=kernel.shape, out_backprop=x, strides=(1, *strides, 1), padding="SAME"
        )
        return tf.nn.conv2d(upstream, kernel, strides, "SAME"), by_kernel

    return _recorded("TransposedConvolution", forward, gradients, x, tf.convert_to_tensor(kernel))


def _interleaved_phases(x, kernel, strides):
    kernel = tf.linalg.matrix_transpose(kernel)
    rows = []
    for row in range(strides[0]):
        above, upper, below = _taps(kernel.shape[0], strides[0], row)
        columns = []
        for column in range(strides[1]):
            left, inner, right = _taps(kernel.shape[1], strides[1], column)
            part = tf.gather(tf.gather(kernel, upper, axis=0), inner, axis=1)
            columns.append(tf.nn.conv2d(x, part, 1, ((0, 0), (above, below), (left, right), (0, 0))))
        rows.append(tf.stack(columns, 3))
    shape = tf.shape(x)
    size = (shape[0], strides[0] * shape[1], strides[1] * shape[2], kernel.shape[-1])
    return tf.reshape(tf.stack(rows, 2), size)


def _taps(size, stride, phase):
    """Of an axis: positions before the own one that meet a phase of the output, by which elements of the kernel, and
    those behind it."""
    # Element k of the kernel lies at stride * position + k - begin of the output.
    begin = max(size - stride, 0) // 2
    elements = [k for k in reversed(range(size)) if (k - phase - begin) % stride == 0]
    before, behind = ((k - phase - begin) // stride for k in (elements[0], elements[-1]))
    return before, elements, -behind


def _enlarged(y, x, kernel, strides):
    """``y``, of which is known what is of the shape that a transposed convolution makes of ``x``."""
    spatial = [None if n is None else n * stride for n, stride in zip(x.shape[1:-1], strides, strict=True)]
    return tf.ensure_shape(y, [x.shape[0], *spatial, kernel.shape[-2]])


def _padding(n, size, stride):
    """Positions of the output along an axis of ``n``, and how many of zeros lie before and after the input."""
    count = (n + stride - 1) // stride
    missing = tf.maximum((count - 1) * stride + size - n, 0)
    return count, missing // 2, missing - missing // 2


def _padded(x, before, after):
    """Slices of zeros before and after those of a volume."""
    return tf.pad(x, [[0, 0], [before, after], [0, 0], [0, 0], [0, 0]])


def _as_images(x):
    """The slices of all volumes of a batch as one batch of images."""
    shape = tf.shape(x)
    return tf.reshape(x, (shape[0] * shape[1], shape[2], shape[3], x.shape[-1]))


def _by_kernel(x, upstream, kernel, strides):
    """The gradient by the kernel of a convolution of ``x``."""
    size, *rest = kernel.shape
    count, before, after = _padding(tf.shape(x)[1], size, strides[0])
    x, images = _padded(x, before, after), _as_images(upstream)
    found = []
    for k in range(size):
        # One after another: all at once would be as many copies of the volume as the kernel has slices.
        with tf.control_dependencies(found[-1:]):
            slices = _as_images(x[:, k : k + strides[0] * (count - 1) + 1 : strides[0]])
        found.append(
            tf.raw_ops.Conv2DBackpropFilter(
                input=slices, filter_sizes=rest, out_backprop=images, strides=(1, *strides[1:], 1), padding="SAME"
            )
        )
    return tf.stack(found)


def _by_input(upstream, kernel, strides, shape):
    """The gradient by the input, of ``shape``, of a convolution; or what its transposed form gives for ``upstream``."""
    if set(strides) == {1} and all(n % 2 for n in kernel.shape[:3]):
        turned = tf.reverse(tf.linalg.matrix_transpose(kernel), (0, 1, 2))
        return tf.nn.conv3d(upstream, turned, (1, 1, 1, 1, 1), "SAME")
    size, stride = kernel.shape[0], strides[0]
    count, before, _ = _padding(shape[1], size, stride)
    # Of each slice of the output there are as many of the padded input, and those that the last ones reach beyond.
    beyond = (size + stride - 1) // stride - 1
    slices = (shape[0] * (count + beyond), shape[2], shape[3], kernel.shape[-2])
    residues = []
    for residue in range(stride):
        taps = [kernel[k] for k in range(residue, size, stride)]
        if not taps:
            residues.append(tf.zeros(slices))
            continue
        moved = [_padded(upstream, k, beyond - k) for k in range(len(taps))]
        residues.append(
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.stack(slices),
                filter=tf.concat(taps, -1),
                out_backprop=_as_images(tf.concat(moved, -1)),
                strides=(1, *strides[1:], 1),
                padding="SAME",
            )
        )
    whole = (shape[0], count + beyond, *slices[1:])
    volume = tf.stack([tf.reshape(x, whole) for x in residues], 2)
    volume = tf.reshape(volume, (shape[0], stride * (count + beyond), *slices[1:]))
    return volume[:, before : before + shape[1]]
