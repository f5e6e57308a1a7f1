"""Prediction and training steps, timed in turn, and what they achieve of what the device can do.

A group is one task at one size; its programs are the networks in every precision:

* ``float32``: products in full single precision;
* ``tf32``: what JAX, as TensorFlow, makes of float32 by default on recent GPUs, products of numbers rounded to ten
  bits; on a CPU it is float32, and left out;
* ``bfloat16``: ``build_network(spec, precision="bfloat16")``, weights in float32.

The two largest predictions and steps in 3D are not timed in full float32 on a GPU, for the time.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import counting
import jax
import jax.numpy as jnp
import numpy as np
from learning import network_and_step, weights
from timing import alternate, clocked, summary

from aeanet_tf.networks import build_network

ALL = ("float32", "tf32", "bfloat16")
ROUNDS = 7


def on_gpu():
    """Whether JAX computes on a GPU."""
    return jax.default_backend() == "gpu"


def products_of(precision):
    """The context in which a program of this precision is traced."""
    return jax.default_matmul_precision("highest") if precision == "float32" else nullcontext()


def device_rates(matrix, array, rounds=5):
    """What the device achieves at most: operations a second by precision, and bytes a second.

    Args:
        matrix: rows and columns of square matrices whose product is timed.
        array: numbers in a float32 array that is copied, read once and written once.
        rounds: the best of so many counts.

    Returns:
        ``{"float32", "tf32", "bfloat16": operations a second, "copy": bytes a second}``, "tf32" only on a GPU.
    """
    # Not zeros, on which some devices are faster.
    square = jax.random.normal(jax.random.PRNGKey(0), (matrix, matrix))
    values, programs = jax.random.normal(jax.random.PRNGKey(1), (array,)), {}
    for precision in _known(ALL):
        x = square.astype("bfloat16") if precision == "bfloat16" else square
        with products_of(precision):
            product = jax.jit(jnp.matmul).lower(x, x).compile()
        programs[precision] = (lambda product=product, x=x: product(x, x), 2 * matrix**3)
    copy = jax.jit(lambda x: 2.0 * x)
    programs["copy"] = (lambda: copy(values), 8 * array)
    times = alternate({name: clocked(run) for name, (run, _) in programs.items()}, rounds)
    return {name: work / min(times[name]) for name, (_, work) in programs.items()}


def _known(precisions):
    return precisions if on_gpu() else tuple(p for p in precisions if p != "tf32")


def groups(sizes, volume, batch, patch, volume_batch):
    """What is timed, the most telling first.

    Args:
        sizes: sides of the 2D images that are predicted.
        volume: ``(z, y, x)`` of the volume that is predicted.
        batch, patch: of the 2D training step.
        volume_batch: ``(images, z, y, x)`` of the 3D one.

    Returns:
        A list of ``{"task", "dimension", "size", "precisions"}``.
    """
    large = tuple(p for p in ALL if p != "float32") if on_gpu() else ALL
    first, *others = sizes
    found = [("predict", (1, first, first), ALL), ("step", (batch, patch, patch), ALL)]
    found += [("predict", (1, side, side), large) for side in others]
    found += [("predict", (1, *volume), large), ("step", tuple(volume_batch), large)]
    return [
        {"task": task, "dimension": len(size) - 1, "size": list(size), "precisions": _known(precisions)}
        for task, size, precisions in found
    ]


def measure(group, specs, rates, seconds, trained=None, image=None):
    """Time the programs of a group.

    Args:
        group: one of `groups`.
        specs: network -> spec of the group's dimension.
        rates: of `device_rates`.
        seconds: no further round begins after this time.
        trained: network -> weights to predict with, see `learning.Learner.run`; new ones otherwise.
        image: ``(y, x)``, repeated to the size of a 2D prediction; noise otherwise.

    Returns:
        A list of rows for JSON.
    """
    inputs = _inputs(group, image)
    programs = {}
    for network, spec in specs.items():
        # The same for every precision, so that what they predict can be compared.
        values = (trained or {}).get(network) or weights(build_network(spec))
        for precision in group["precisions"]:
            programs[network, precision] = _Program(group["task"], spec, precision, inputs, values)
    with ThreadPoolExecutor() as pool:
        list(pool.map(_Program.compile, programs.values()))
    outputs = {key: program.run() for key, program in programs.items()}
    times = alternate({key: clocked(program.run) for key, program in programs.items()}, ROUNDS, seconds)
    found, rows = summary(times, next(iter(programs))), []
    for (network, precision), program in programs.items():
        reference = outputs[network, group["precisions"][0]]
        row = {name: group[name] for name in ("task", "dimension", "size")}
        row |= {"network": network, "precision": precision, "temporary_bytes": program.temporary_bytes}
        row |= {name: found[network, precision][name] for name in ("median", "quartiles")}
        row |= achieved(program.operations, program.traffic, row["median"], rates, precision)
        if group["task"] == "predict":
            row["difference"] = _difference(outputs[network, precision], reference)
            row["reference"] = group["precisions"][0]
        rows.append(row)
    return rows


def achieved(operations, traffic, seconds, rates, precision):
    """What a program did in its time, and what share of the device's rates that is.

    ``floor`` is the time that the device needs at least, for the operations or for the bytes, whichever is more.
    """
    floors = {"operations": operations / rates[precision], "bytes": traffic / rates["copy"]}
    bound = max(floors, key=floors.get)
    return {
        "operations": operations,
        "bytes": traffic,
        "operations_per_second": operations / seconds,
        "bytes_per_second": traffic / seconds,
        "of_matrix_rate": floors["operations"] / seconds,
        "of_bandwidth": floors["bytes"] / seconds,
        "bound_by": bound,
        "floor": floors[bound],
    }


def _inputs(group, image):
    """Input and, for a step, target."""
    rng, shape = np.random.default_rng(0), (*group["size"], 1)
    if group["task"] == "step":
        return tuple(map(jnp.asarray, rng.random((2, *shape), "float32")))
    if image is None or group["dimension"] == 3:
        return (jnp.asarray(rng.random(shape, "float32")),)
    _, height, width = group["size"]
    repeated = np.tile(image, (-(-height // image.shape[0]), -(-width // image.shape[1])))
    return (jnp.asarray(repeated[None, :height, :width, None]),)


def _difference(output, reference):
    """Largest and mean absolute difference, relative to the range of the reference."""
    difference, span = jnp.abs(output - reference), jnp.ptp(reference)
    return {"largest": float(difference.max() / span), "mean": float(difference.mean() / span)}


class _Program:
    """A prediction or a training step: traced when made, compiled by `compile`, done by `run`."""

    def __init__(self, task, spec, precision, inputs, values):
        keras_precision = "bfloat16" if precision == "bfloat16" else "float32"
        if task == "step":
            _, function, state = network_and_step(spec, keras_precision)
            self._arguments = (state, *inputs, jnp.float32(1e-4))
        else:
            network = build_network(spec, precision=keras_precision)

            def function(trainable, others, x):
                return network.stateless_call(trainable, others, x, training=False)[0]

            self._arguments = (values["trainable"], values["others"], *inputs)
        with products_of(precision):
            traced = jax.jit(function).trace(*self._arguments)
            self._lowered = traced.lower()
        self.operations, self.traffic = counting.cost(traced.jaxpr)

    def compile(self):
        """Compile; may run in a thread of its own."""
        self._compiled = self._lowered.compile()
        memory = self._compiled.memory_analysis()
        self.temporary_bytes = None if memory is None else int(memory.temp_size_in_bytes)

    def run(self):
        """The output, not waited for."""
        return self._compiled(*self._arguments)
