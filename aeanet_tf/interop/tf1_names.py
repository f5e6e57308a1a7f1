"""The variables of a network under the names and shapes that they have in checkpoints of the original programs."""

import numpy as np

OUTPUT_NAMES = {
    "output_preactivation": ("batch_normalization", "batch_norm_output"),
    "out_conv": ("out_conv", "output_convolution"),
}
"""Names of the layers behind the last block: AEANet's program has the first of each, GVTNet's either."""


def original_names(path):
    """Names that a variable may have in the original programs.

    Args:
        path: of a Keras variable of `aeanet_tf.networks.build_network`, such as
            ``encoding_block_1.res_0/batch_norm_1/norm/gamma``.

    Returns:
        List of names, such as ``["encoding_block_1/res_0/batch_norm_1/gamma"]``; two for the output layers, which the
        programs name differently.
    """
    name = path.replace(".", "/").replace("/norm/", "/")
    name = name.replace("/downsampling/kernel", "/downsampling/convolution/kernel")
    name = name.replace("/upsampling/kernel", "/upsampling/transposed_convolution/kernel")
    first, _, rest = name.partition("/")
    return [f"{alternative}/{rest}" for alternative in OUTPUT_NAMES.get(first, (first,))]


def match_variables(model, variables):
    """Find the value of every variable of a network, and the network's variable of every value.

    Args:
        model: of `aeanet_tf.networks.build_network`.
        variables: dict from original name to array.

    Returns:
        ``(pairs, problems)``: a list of ``(Keras variable, array of its shape)``, and a dict from name to what is
        wrong: missing, of another shape than expected, not finite, or not a variable of this network.
    """
    dimension = len(model.get_layer("first_convolution").kernel.shape) - 2
    left, pairs, problems = dict(variables), [], {}
    for variable in model.weights:
        names, shape = original_names(variable.path), tuple(variable.shape)
        name = next((n for n in names if n in left), None)
        expected = _original_shape(names[0], shape, dimension)
        if name is None:
            problems[_likely(names, variables)] = f"missing, expected shape {expected}"
            continue
        value = np.asarray(left.pop(name))
        if value.shape != expected:
            problems[name] = f"shape {value.shape}, expected {expected}"
        elif not np.isfinite(value).all():
            problems[name] = "holds values that are not finite"
        else:
            pairs.append((variable, value.reshape(shape)))
    problems.update({name: f"not in this network, shape {np.shape(left[name])}" for name in sorted(left)})
    return pairs, problems


def _original_shape(name, shape, dimension):
    # Ours are matrices where the original programs have convolutions of kernel size 1.
    if name.endswith("_transform/kernel") and len(shape) == 2:
        return (1,) * (3 if name.startswith("projection/") else dimension) + shape
    return shape


def _likely(names, variables):
    """Of the alternatives for a missing name, the one whose layer the checkpoint has."""
    heads = {name.partition("/")[0] for name in variables}
    return next((n for n in names if n.partition("/")[0] in heads), names[0])
