"""Batches made ahead of training: by threads, in their order, and no more of them than agreed on."""

import os
import weakref


def usable_cores():
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers():
    """Number of threads that make batches: one for every four cores that this process may use, 1 to 4.

    One makes thousands of patches a second. More are for augmenters and images that take longer; they take turns in
    Python's interpreter with each other and with the training itself, so a multitude would slow it down.
    """
    return min(4, max(1, usable_cores() // 4))


def prefetched(batch, workers=1):
    """A ``tf.data.Dataset`` of ``batch(0)``, ``batch(1)`` and so on, made by threads while others are used.

    They come in this order, each once, whatever the number of threads. At most `ahead` of it are ready or being made.
    The threads are TensorFlow's and end with the iterator, at the end of ``fit`` or where it is stopped. Keras's own
    for a ``PyDataset`` with several workers outlive a training that is stopped.

    Args:
        batch: function of a number from 0, whose results are tuples of arrays that have the shapes of ``batch(0)``,
            which is made once more to know them.
        workers: number of threads.
    """
    import tensorflow as tf

    options = tf.data.Options()
    # It would give a queue half of the memory. The pool is private so that slow batches do not hold up the training.
    options.autotune.enabled = False
    options.threading.private_threadpool_size = workers
    # Not `counter`, whose function TensorFlow keeps for good.
    numbers = tf.data.Dataset.range(2**62)
    read = _reader(batch, [(array.dtype, array.shape) for array in batch(0)], numbers)
    return numbers.map(read, ahead(workers), deterministic=True).with_options(options)


def ahead(workers):
    """How many batches are ready or being made at most, beside the one in use."""
    return workers + 1


def _reader(batch, specs, owner):
    """A TensorFlow function from numbers to the arrays of ``batch``, each of a ``(dtype, shape)`` of ``specs``.

    TensorFlow holds on to functions in Python for as long as the process lives. The data goes with the ``owner``.
    """
    import tensorflow as tf

    def make(number):
        return batch(int(number))

    owner.make, weak = make, weakref.ref(make)
    del make

    def read(number):
        arrays = tf.numpy_function(lambda n: weak()(n), [number], [dtype for dtype, _ in specs])
        return tuple(tf.ensure_shape(array, shape) for array, (_, shape) in zip(arrays, specs, strict=True))

    return read
