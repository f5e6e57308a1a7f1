"""What a device can do at most, measured, and what the algorithms of attention ask of it, counted.

The two rates that bound any program: how fast numbers come from memory, by an elementwise product with a constant
(one array read, one written) and a sum (two read, one written), and how fast they are multiplied, by a product of
square matrices. Both as operations of the framework achieve them: the time to allocate the result is included, and
traffic is counted as the algorithm has it (the cache lines that a CPU reads before it overwrites them are not).

Counted for n positions, C channels, h heads, float32, terms that do not grow with n left out:

| program | floating-point operations | bytes |
| --- | --- | --- |
| moments | 4nC²: second moment, folded matrix | 12nC: x read twice, y written |
| direct | 8nC²: Q, K, V, output; 4nC²/h: K^T V, Q times it | 48nC: see below |
| matrix | 8nC² + 4n²C | 48nC + 8hn²: the matrix written and read |
| softmax | 8nC² + 4n²C | 48nC + 16hn²: two matrices |

48nC: x read for each of Q, K and V; these and the output of the heads written and read; y written.

Forward and backward together count three times the forward pass: each product has two in the backward pass, but for the
second moment, which has one. For the arithmetic that is a count, for the traffic a convention.
"""

import numpy as np
from attention_programs import HEADS
from compiled import compiled
from keras import ops
from timing import alternate, clocked


def device_rates(matrix=4096, array=2**26, rounds=5):
    """Achieved bandwidths (bytes a second) and matrix rates (floating-point operations a second).

    Args:
        matrix: number of rows and columns of the matrices.
        array: numbers in an array, float32 (2^26: 268 MB), which is to be far larger than the caches.
        rounds: the best of so many counts, since these are bounds.

    Returns:
        ``{"scale", "sum": bytes a second, "float32", "bfloat16": operations a second}``.
    """
    rng = np.random.default_rng(0)
    x, y = (ops.convert_to_tensor(rng.standard_normal(array, "float32")) for _ in range(2))
    square = ops.convert_to_tensor(rng.standard_normal((matrix, matrix), "float32"))
    half = ops.cast(square, "bfloat16")
    scale, add, product = compiled(lambda x: 2.0 * x), compiled(lambda x, y: x + y), compiled(ops.matmul)
    programs = {
        "scale": (lambda: scale(x), 8 * array),
        "sum": (lambda: add(x, y), 12 * array),
        "float32": (lambda: product(square, square), 2 * matrix**3),
        "bfloat16": (lambda: product(half, half), 2 * matrix**3),
    }
    times = alternate({name: clocked(run) for name, (run, _) in programs.items()}, rounds)
    return {name: work / min(times[name]) for name, (_, work) in programs.items()}


def cost(program, positions, channels, mode):
    """``(floating-point operations, bytes)`` of a program; see the table above."""
    n, c = positions, channels
    matrices = 4 * n**2 * HEADS
    arithmetic, traffic = {
        "moments": (4 * n * c**2, 12 * n * c),
        "direct": (8 * n * c**2 + 4 * n * c**2 // HEADS, 48 * n * c),
        "matrix": (8 * n * c**2 + 4 * n**2 * c, 48 * n * c + 2 * matrices),
        "softmax": (8 * n * c**2 + 4 * n**2 * c, 48 * n * c + 4 * matrices),
    }[program]
    if mode == "forward":
        return arithmetic, traffic
    spared = 2 * n * c**2 if program == "moments" else 0
    return 3 * arithmetic - spared, 3 * traffic


def achieved(rows, rates):
    """What the measured programs achieve: a list of rows.

    Args:
        rows: of the times, as `attention_operator` has them.
        rates: of `device_rates`.

    Returns:
        Rows with ``flop_per_second`` and ``bytes_per_second`` and what share of the device's they are
        (``of_matrix_rate``, float32; ``of_bandwidth``, the larger of the two measured).
    """
    bandwidth, found = max(rates["scale"], rates["sum"]), []
    for row in rows:
        for program, times in row["programs"].items():
            case = {"program": program, **{name: row[name] for name in ("positions", "channels", "mode")}}
            arithmetic, traffic = (n / times["median"] for n in cost(**case))
            speeds = {"flop_per_second": arithmetic, "bytes_per_second": traffic}
            shares = {"of_matrix_rate": arithmetic / rates["float32"], "of_bandwidth": traffic / bandwidth}
            found.append({**case, **speeds, **shares})
    return found
