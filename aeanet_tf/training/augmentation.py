"""Exact symmetries of the pixel grid: flips and 90-degree rotations, nothing interpolated."""

_AS_IT_IS, _REVERSED = slice(None), slice(None, None, -1)


class GridSymmetries:
    """Random flips of every spatial axis and 90-degree rotations in the plane of the last two (y and x).

    Drawn as independent flips plus a swap of y and x: together these are all flips and rotations, each
    equally often. Without the swap (patches that are not square in y and x) the rotations by 90 and 270
    degrees are left out. Nothing turns about another axis: z differs from y and x in optics and sampling.

    Args:
        patch_size: spatial shape of the input patches.
        projected_axis: spatial axis that the targets lack (or have with length 1), or None.
        target_has_axis: whether the targets keep that axis, with length 1.
    """

    def __init__(self, patch_size, projected_axis=None, target_has_axis=False):
        self.ndim = len(patch_size)
        plane = (self.ndim - 2, self.ndim - 1)
        # Where y or x is projected away the target has no plane to rotate in.
        self.can_swap = patch_size[-1] == patch_size[-2] and projected_axis not in plane
        lacking = projected_axis if not target_has_axis else None
        self.target_axes = [axis for axis in range(self.ndim) if axis != lacking]

    def draw(self, rng, count):
        """``count`` symmetries: flips ``(count, ndim)`` and swaps ``(count,)``, both boolean."""
        flips = rng.random((count, self.ndim)) < 0.5
        return flips, (rng.random(count) < 0.5) & self.can_swap

    def apply(self, x, y, flip, swap):
        """Views of ``x`` and ``y`` (channels last) under one symmetry, the same one for both."""
        return _view(x, flip, swap), _view(y, [flip[axis] for axis in self.target_axes], swap)


def _view(image, flip, swap):
    image = image[tuple([_REVERSED if f else _AS_IT_IS for f in flip])]
    return image.swapaxes(-3, -2) if swap else image
