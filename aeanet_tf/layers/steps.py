"""What a layer does along an axis: of this a network's receptive field and the strides of its tensors follow."""

from typing import NamedTuple


class Step(NamedTuple):
    """An elementary operation along one axis: ``kind`` is "down" (a convolution or pooling), "up" (a transposed
    convolution) or "repeat"."""

    kind: str
    kernel: int
    stride: int


class Pointwise:
    """Base of layers whose output depends on the input at its own position alone, or through attention: every layer
    tells by ``receptive_steps(axis)`` what it does along a spatial axis (-1 is x), as a list of `Step` in order."""

    def receptive_steps(self, axis):
        return []

    def compute_output_shape(self, input_shape):
        """That of the input, where a layer does not say otherwise."""
        return tuple(input_shape)
