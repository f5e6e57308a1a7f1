"""Context moments against the time that reading the features once takes: does XLA need a kernel of its own there?

The moments of attention (`aeanet_tf.layers.moments`) are the mean and the mean outer product of all feature vectors.
Reading each number once is the least that they take; with few channels the products take less than that. Programs:

* ``package``: `context_moments` as it is;
* ``package, default``: the same with the products that JAX makes by default, on recent GPUs of ten bits (TF32);
* ``half products``: of bfloat16 features the product of these numbers, summed in float32, without a copy in float32;
* ``kernel``: a kernel in Pallas that reads a block of features once and adds to both in float32.

Errors are those of the moments against float64 sums, relative to their norms. The features are a part of them over and
over, whose sums are the same, so that each program is compiled for one shape only.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from timing import alternate, clocked, summary

from aeanet_tf.layers.moments import context_moments

ROUNDS = 7
BLOCK = 64
PROGRAMS = 4096


def measure(rates, numbers, channels, seconds=20.0):
    """Rows for JSON of the programs with float32 and bfloat16 features.

    Args:
        rates: of `speed.device_rates`.
        numbers: in an array of features, far more than caches hold.
        channels: list of numbers of channels.
        seconds: for all.
    """
    cases = [(count, dtype) for count in channels for dtype in ("float32", "bfloat16")]
    rows = []
    for count, dtype in cases:
        n = numbers // count
        part = jax.random.normal(jax.random.PRNGKey(count), (1, min(n, PROGRAMS * BLOCK), count)).astype(dtype) + 1
        x = jnp.tile(part, (1, n // part.shape[1], 1))
        rows += _measured(x, _reference(part), rates, seconds / len(cases))
    return rows


def _measured(x, expected, rates, seconds):
    n, channels = x.shape[1:]
    # Products of float32 are the fastest that there are; `package` has slower ones.
    rate = rates.get("tf32", rates["float32"]) if x.dtype == jnp.float32 else rates["bfloat16"]
    floors = {"bytes": x.size * x.dtype.itemsize / rates["copy"], "operations": 2 * n * channels**2 / rate}
    bound = max(floors, key=floors.get)
    running, rows = {}, []
    for name, program in programs(channels).items():
        row = {"program": name, "positions": n, "channels": channels, "dtype": str(x.dtype)}
        row |= {"bound_by": bound, "floor": floors[bound]}
        rows.append(row)
        try:
            compiled = jax.jit(program).lower(x).compile()
            row |= _errors(compiled(x), expected)
            running[name] = clocked(partial(compiled, x))
        except Exception as error:
            # Of a kernel that the device's compiler does not take, this is the result.
            row["failed"] = str(error).splitlines()[0][:300]
    found = summary(alternate(running, ROUNDS, seconds), next(iter(running)))
    for row in rows:
        if row["program"] in running:
            times = found[row["program"]]
            row |= {name: times[name] for name in ("median", "quartiles")}
            row["of_floor"] = row["median"] / row["floor"]
    return rows


def programs(channels):
    """Name -> function of features ``(1, n, channels)`` that gives their mean and their second moment."""

    def package(x):
        moments = context_moments(x)
        return moments.mean[0], moments.second[0]

    def exact(x):
        with jax.default_matmul_precision("highest"):
            return package(x)

    def half(x):
        second = jnp.matmul(x[0].T, x[0], preferred_element_type=jnp.float32)
        return jnp.mean(x[0], axis=0, dtype=jnp.float32), second / x.shape[1]

    found = {"package": exact, "package, default": package, "half products": half}
    return {**found, "kernel": kernel_moments} if channels <= 128 else found


def kernel_moments(x, interpret=False):
    """Mean and second moment of ``(1, n, channels)`` in one pass; products of float32 features have ten bits.

    Args:
        x: features; ``n`` a multiple of what a program of the kernel takes, ``channels`` a power of two.
        interpret: compute it without a GPU.
    """
    n, channels = x.shape[1:]
    count = min(PROGRAMS, n // BLOCK)
    rows = n // count

    def kernel(x_ref, mean_ref, second_ref):
        def add(i, carry):
            total, second = carry
            block = x_ref[pl.ds(i * BLOCK, BLOCK), :]
            second += jnp.dot(block.T, block, preferred_element_type=jnp.float32)
            return total + jnp.sum(block.astype(jnp.float32), axis=0), second

        zeros = jnp.zeros((channels,), jnp.float32), jnp.zeros((channels, channels), jnp.float32)
        total, second = jax.lax.fori_loop(0, rows // BLOCK, add, zeros)
        mean_ref[...], second_ref[...] = total, second

    shapes = [jax.ShapeDtypeStruct((count, *shape), jnp.float32) for shape in ((channels,), (channels, channels))]
    options = {} if interpret else {"compiler_params": _triton()}
    total, second = pl.pallas_call(
        kernel,
        out_shape=shapes,
        grid=(count,),
        in_specs=[pl.BlockSpec((rows, channels), lambda i: (i, 0))],
        out_specs=[
            pl.BlockSpec((None, channels), lambda i: (i, 0)),
            pl.BlockSpec((None, channels, channels), lambda i: (i, 0, 0)),
        ],
        interpret=interpret,
        **options,
    )(x[0])
    return total.sum(0) / n, second.sum(0) / n


def _triton():
    from jax.experimental.pallas import triton

    return triton.CompilerParams(num_warps=8, num_stages=3)


def _reference(part):
    """Mean and second moment of features, both float64."""
    part = np.asarray(part[0].astype(jnp.float32), "float64")
    return part.mean(0), part.T @ part / len(part)


def _errors(found, expected):
    pairs = zip(("mean_error", "second_error"), found, expected, strict=True)
    return {name: float(np.linalg.norm(np.asarray(a, "float64") - b) / np.linalg.norm(b)) for name, a, b in pairs}
