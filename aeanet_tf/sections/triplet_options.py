"""How triplets of slices are cut and judged: what run configurations, the command line and `make_triplets` share."""

from dataclasses import dataclass
from math import inf

from aeanet_tf.errors import expect

_LEAST_WINDOW = 30


@dataclass(frozen=True)
class TripletOptions:
    """How triplets are cut and which are left out.

    SSAN paper, "Dataset and preprocessing", deletes samples "with defects, weak continuity and substantial
    differences in blurring", and gives neither measure nor limit: both are our choice, made on the 28 triplets of the
    ISBI 2012 slices (512 x 512 pixels of 4 nm), all of which are accepted. Prediction aligns and matches the two
    neighbours of a slice by the same options.

    Attributes:
        window: side of a window, in pixels; it is also the stride, so that windows do not overlap. None, or more than
            the slices have in common after alignment: the whole of that side.
        max_shift: the largest shift of a neighbour against the middle slice, in pixels along an axis; 0 does not
            align. A neighbour found at that limit is badly aligned: its true place is likely beyond.
        match_histograms: give the three the histogram midway between those of the two neighbours
            (`to_common_histogram`).
        min_correlation: least correlation of the middle with each neighbour, both smoothed by a Gaussian of 2 pixels:
            continuity. ISBI has 0.29 to 0.55, slices that do not belong together up to 0.15. Small windows vary more:
            of those of 128 pixels 1 in 13 falls below the default.
        max_blur_ratio: largest ratio of the sharpness of two of the three: the standard deviation of the
            Laplacian after a Gaussian of 1 pixel, over that of the image. ISBI has up to 1.2; a slice blurred by a
            Gaussian of 1.5 pixels, 1.7 and more.
        max_flat: largest share, 0 to 1, of defective pixels in any of the three: those at the lowest or highest
            value of the window, and those in whose neighbourhood there is no structure. ISBI has up to 0.005.

    Raises:
        InputError: an option is out of its range.
    """

    window: int | None = 512
    max_shift: int = 32
    match_histograms: bool = True
    min_correlation: float = 0.2
    max_blur_ratio: float = 1.5
    max_flat: float = 0.03

    # Where it is a part of a configuration, which pydantic reads.
    __pydantic_config__ = {"extra": "forbid", "allow_inf_nan": False}  # noqa: RUF012  read-only

    def __post_init__(self) -> None:
        large = self.window is None or self.window >= _LEAST_WINDOW
        expect(large, "window", self.window, f"at least {_LEAST_WINDOW} pixels, or none")
        expect(self.max_shift >= 0, "max_shift", self.max_shift, "0 or more pixels")
        for name, low, high in (("min_correlation", -1, 1), ("max_blur_ratio", 1, inf), ("max_flat", 0, 1)):
            expect(low <= getattr(self, name) <= high, name, getattr(self, name), f"{low} to {high}")
