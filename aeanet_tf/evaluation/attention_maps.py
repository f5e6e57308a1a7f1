"""What an attention operator computes for an image (relevance to its shared references, query, attention output),
and how different the maps of several references are."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from aeanet_tf.errors import InputError
from aeanet_tf.layers import GVTO, AttentionAwareLayer
from aeanet_tf.networks import NetworkGraph
from aeanet_tf.prediction.stages import attention_operators

# Below this share of its largest value the variation of a map is rounding.
_CONSTANT = 1e-6


def choose_operator(network: keras.Model, operator: str | int | None = None) -> GVTO:
    """An attention operator of a network.

    Args:
        network: of `aeanet_tf.networks.build_network`.
        operator: name of the layer, such as "bottom_block.block_0", or its number in the order of evaluation, from 0,
            as a number or a text. By default the first of the bottom block (``size="same"``) that has shared
            references, or the first of any size that has; without references the same among all operators.

    Returns:
        The `GVTO` layer.

    Raises:
        InputError: there is no such operator, or none at all.
    """
    operators = attention_operators(network)
    if any(isinstance(operation, AttentionAwareLayer) for operation in network.operations):
        raise InputError("operator: the model has sparse attention, expected attention normalised by length")
    if not operators:
        raise InputError("operator: the model has no attention operators, expected a network with attention")
    if operator is None:
        candidates = [layer for layer in operators if layer.attention.shared_references] or operators
        return next((layer for layer in candidates if layer.attention.size == "same"), candidates[0])
    by_name = {layer.name: layer for layer in operators}
    by_name |= {str(number): layer for number, layer in enumerate(operators)}
    if str(operator) not in by_name:
        names = ", ".join(layer.name for layer in operators)
        raise InputError(
            f"operator: found {operator!r}, expected one of {names}, or its number, 0 to {len(operators) - 1}"
        )
    return by_name[str(operator)]


def image_divisor(network: keras.Model) -> tuple[int, ...]:
    """What each spatial axis of an image must be a multiple of, so that every resolution of the network fits."""
    return NetworkGraph(network).divisor()


def map_strides(network: keras.Model, operator: str | int | None = None) -> tuple[int, ...]:
    """Pixels of the image to one position of an operator's maps, for each spatial axis of the maps.

    They have the image's axes, or the last ones of them behind a projection.

    Raises:
        InputError: as `choose_operator`.
    """
    graph, layer = NetworkGraph(network), choose_operator(network, operator)
    return graph.strides(_node(graph, layer).output)


def relevance_maps(network: keras.Model, x: np.ndarray, operator: str | int | None = None) -> np.ndarray:
    """Relevance of every position of an image to each shared reference of an operator.

    Computes ``Q k(f_j)^T`` for every reference f_j (AEANet paper, appendix VI): Q is the operator's query with its
    scaling by the square root of the width of a head, k its key projection, bias included. With several heads the
    products of the heads are added up, which is the one product of the whole query with the whole key: the paper
    does not speak of heads there. With one head these are the weights of the references' values in the attention
    output, before the division by the length.

    Args:
        network: of `aeanet_tf.networks.build_network`.
        x: a normalised image, ``(1, *spatial, channels)``. It is padded by reflection to the network's divisor, as in
            prediction.
        operator: see `choose_operator`.

    Returns:
        Float32 array ``(references, *spatial')`` at the resolution of the operator's query: see `map_strides`. Of the
        padded image the positions are left that cover a part of ``x``. The unit is that of the dot product; only
        comparisons mean something.

    Raises:
        InputError: the operator has no shared references; there is no such operator; ``x`` does not fit the network.
    """
    layer = choose_operator(network, operator)
    attention = layer.attention
    if not attention.shared_references:
        raise InputError(f"operator {layer.name}: the model has no shared references there, expected at least one")
    prepared = _Prepared(network, layer, x)
    query = ops.convert_to_numpy(attention.compute_query(prepared.features))[0]
    keys = ops.convert_to_numpy(attention.k_transform(attention.nl_library))[0]
    scale = (keys.shape[-1] // attention.num_heads) ** -0.5
    flat = prepared.cropped(query).reshape(-1, keys.shape[-1])
    maps = (scale * keys).astype("float32") @ flat.T.astype("float32")
    return maps.reshape(len(keys), *prepared.map_size)


def query_and_attention(
    network: keras.Model, x: np.ndarray, operator: str | int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The query tensor of an operator and its attention output (AEANet paper, section VI-D and figure 6).

    Args:
        network, x, operator: as for `relevance_maps`; references are not needed.

    Returns:
        ``(query, attention)``, float32 arrays ``(*spatial', channels)`` at the resolution of the query. The query is
        that after its projection, before the scaling of the heads. The attention output is that after its output
        projection, before the residual path is added, as in prediction: each image attends to itself and to the
        references.

    Raises:
        InputError: there is no such operator; ``x`` does not fit the network.
    """
    layer = choose_operator(network, operator)
    prepared = _Prepared(network, layer, x)
    query = layer.attention.compute_query(prepared.features)
    attention = layer.attention(prepared.features, training=False)
    return tuple(prepared.cropped(ops.convert_to_numpy(tensor)[0]).astype("float32") for tensor in (query, attention))


class _Prepared:
    """The features that an operator attends to and asks with, pre-activated, for a padded image; and the way back."""

    def __init__(self, network, layer, x):
        x = np.asarray(x, "float32")
        channels, rank = network.inputs[0].shape[-1], len(network.inputs[0].shape)
        if x.ndim != rank or x.shape[0] != 1 or x.shape[-1] != channels:
            raise InputError(f"x: found shape {x.shape}, expected (1, {'n, ' * (rank - 2)}{channels})")
        extra = [-n % d for n, d in zip(x.shape[1:-1], image_divisor(network), strict=True)]
        pads = [(n // 2, n - n // 2) for n in extra]
        graph = NetworkGraph(network)
        node = _node(graph, layer)
        self._inside = []
        for axis, stride in enumerate(graph.strides(node.output), start=-len(node.output.shape) + 2):
            first, stop = pads[axis][0], pads[axis][0] + x.shape[1:-1][axis]
            self._inside.append(slice(first // stride, -(-stop // stride)))
        self.map_size = tuple(part.stop - part.start for part in self._inside)
        padded = np.pad(x, ((0, 0), *pads, (0, 0)), mode="reflect")
        _check_size(network, padded.shape[1:-1])
        features = keras.Model(network.input, node.inputs[0])(padded, training=False)
        self.features = layer.batch_norm(features, training=False)

    def cropped(self, maps):
        """The positions of ``maps``, ``(*spatial', channels)``, that cover a part of the image."""
        return maps[tuple(self._inside)]


def _node(graph, layer):
    return next(node for node in graph.nodes if node.layer is layer)


def _check_size(network, size):
    wanted = network.inputs[0].shape[1:-1]
    if any(want not in (None, given) for want, given in zip(wanted, size, strict=True)):
        names = [" x ".join(map(str, shape)) for shape in (size, wanted)]
        raise InputError(f"x: found {names[0]} pixels, expected {names[1]}: a learned query fixes the size")


def map_correlations(maps: Sequence[np.ndarray]) -> np.ndarray:
    """Pearson correlation of the patterns of every two references.

    The AEANet paper (appendix VI) says from a picture that the maps of different references differ; this is a number
    for it, and ours. The mean of each image is taken from its maps first, so that it is patterns within the images
    that are compared and not the brightness of the images.

    Args:
        maps: list of arrays ``(references, *spatial)``, one an image; sizes may differ.

    Returns:
        Float64 array ``(references, references)``. A constant map has no pattern; it counts as the same as every
        other (1).

    Raises:
        InputError: no maps, or arrays of different numbers of references.
    """
    counts = {len(image_maps) for image_maps in maps}
    if len(counts) != 1:
        raise InputError(
            f"maps: found {sorted(counts)} references, expected the same number for each of at least one image"
        )
    products, squares = 0, 0
    for image_maps in maps:
        flat = np.asarray(image_maps, "float64").reshape(len(image_maps), -1)
        squares = squares + (flat**2).sum(axis=1)
        flat = flat - flat.mean(axis=1, keepdims=True)
        products = products + flat @ flat.T
    variances = np.diag(products)
    constant = variances <= _CONSTANT**2 * squares
    scale = 1 / np.sqrt(np.where(constant, 1, variances))
    correlations = np.clip(products * scale * scale[:, None], -1, 1)
    correlations[constant], correlations[:, constant] = 1, 1
    np.fill_diagonal(correlations, 1)
    return correlations


def mean_absolute_correlation(correlations: np.ndarray) -> float:
    """Mean of the absolute correlations of all pairs of different references; NaN for a single one."""
    upper = np.abs(correlations)[np.triu_indices(len(correlations), 1)]
    return float(upper.mean()) if len(upper) else float("nan")


def independent_patterns(correlations: np.ndarray) -> float:
    """How many uncorrelated maps would be as different as these: ``r^2 / sum of the squared correlations``.

    The participation ratio of the correlations' eigenvalues: r for r uncorrelated maps, 1 for r equal ones. It cannot
    exceed the number of channels of the key, because every map is a weighted sum of the channels of the query.
    """
    return float(len(correlations) ** 2 / (np.asarray(correlations) ** 2).sum())


def most_different(correlations: np.ndarray, count: int) -> list[int]:
    """References whose maps differ most from each other: our choice of what to show.

    Greedy: the two with the lowest absolute correlation, then always the one whose largest absolute correlation with
    those chosen is lowest.

    Args:
        correlations: of `map_correlations`.
        count: how many.

    Returns:
        Their numbers, from 0, in ascending order.

    Raises:
        InputError: a count below 1, or more than there are.
    """
    _check_count(count, len(correlations))
    if len(correlations) == 1:
        return [0]
    similar = np.abs(correlations).astype("float64")
    np.fill_diagonal(similar, np.inf)
    chosen = [int(i) for i in np.unravel_index(similar.argmin(), similar.shape)][:count]
    while len(chosen) < count:
        chosen.append(int(similar[:, chosen].max(axis=1).argmin()))
    return sorted(chosen)


def random_references(total: int, count: int, seed: int) -> list[int]:
    """``count`` different numbers below ``total`` drawn with a seed, in ascending order: the paper's choice.

    Raises:
        InputError: a count below 1, or more than ``total``.
    """
    _check_count(count, total)
    return sorted(int(i) for i in np.random.default_rng(seed).choice(total, count, replace=False))


def _check_count(count, total):
    if not 1 <= count <= total:
        raise InputError(f"references: found {count}, expected a number from 1 to {total}, the references of the model")
