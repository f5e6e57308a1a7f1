"""What a program has to compute and to move at least, counted from the program itself.

Floating-point operations: two for each product and sum of the convolutions and the matrix products. Bytes: each of
these reads its operands once and writes its result once, in the types that they have; all between them (activations,
sums, normalisation, the optimiser) is taken to be fused and free. So both are lower bounds for a program that does
layer after layer, and the time that follows from them is one that no implementation of that kind beats.
"""

import math


def cost(jaxpr):
    """``(operations, bytes)`` of a program, as ``jax.make_jaxpr(function)(*arguments)`` gives it."""
    (jaxpr,) = _inner([jaxpr])
    operations = traffic = 0
    for equation in jaxpr.eqns:
        count = _PRODUCTS.get(equation.primitive.name)
        if count:
            arrays = [variable.aval for variable in (*equation.invars, *equation.outvars)]
            operations += count(equation)
            traffic += sum(array.size * array.dtype.itemsize for array in arrays)
        else:
            times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
            for inner in _inner(equation.params.values()):
                found = cost(inner)
                operations, traffic = operations + times * found[0], traffic + times * found[1]
    return operations, traffic


def _inner(values):
    """The functions that an equation calls. By what they look like: JAX has moved their classes more than once."""
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from _inner(value)
        elif hasattr(value, "eqns"):
            yield value
        elif hasattr(value, "jaxpr"):
            yield value.jaxpr


def _matrix_product(equation):
    (contracted, _), _ = equation.params["dimension_numbers"]
    left, result = equation.invars[0].aval, equation.outvars[0].aval
    return 2 * result.size * math.prod(left.shape[axis] for axis in contracted)


def _convolution(equation):
    """Zeros that are put between the pixels (transposed convolutions, gradients of strided ones) count nothing."""
    kernel, result = equation.invars[1].aval, equation.outvars[0].aval
    features = kernel.shape[equation.params["dimension_numbers"].rhs_spec[0]]
    return 2 * result.size * (kernel.size // features) // math.prod(equation.params["lhs_dilation"])


_PRODUCTS = {"dot_general": _matrix_product, "conv_general_dilated": _convolution}
