"""Batches for training and validation, cut from arrays or images; every batch a function of seed and step."""

import logging
import math
import numbers
from contextlib import contextmanager

import keras
import numpy as np

from aeanet_tf.errors import InputError, expect
from aeanet_tf.training.pairs import ImagePairs, PairError
from aeanet_tf.training.prefetching import ahead, default_workers, prefetched

logger = logging.getLogger("aeanet_tf")

# Last word of a random stream's seed: distinct and never 0, which NumPy's seeding cannot tell from no word.
_SAMPLE_STREAM, _PASS_STREAM, _BATCH_STREAM = 1, 2, 3
_AS_IT_IS, _REVERSED = slice(None), slice(None, None, -1)


def _whole(name, value, least):
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= least
    expect(whole, name, repr(value), f"a whole number of at least {least}")
    return int(value)


class PatchSampler(keras.utils.PyDataset):
    """Endless training batches ``(x, y)`` in float32: batch number t is a pure function of ``(seed, t)``.

    ``sampler[index]`` is batch number ``start + index``, so a run resumed at optimiser step ``start`` sees
    the batches that the uninterrupted run would have seen. Threads make batches ahead of training, which
    changes neither the batches nor their order. To Keras the data set is endless: its indices run on from
    epoch to epoch, and ``fit`` needs ``steps_per_epoch``, which `fit_arguments` gives it::

        model.fit(**sampler.fit_arguments(), epochs=50, initial_epoch=0)

    With ``patch_size=None``, X and Y hold ready-made patches: each is drawn equally often, in a new random
    order every pass over the data. With a ``patch_size`` they are whole images: an image is drawn with
    probability proportional to its area (volume), a crop uniformly within it, the same one from input and
    target.

    Args:
        X, Y: arrays ``(n, *spatial, channels)`` or lists of arrays ``(*spatial, channels)`` in any dtype;
            images of a list may differ in size where ``patch_size`` is given. They are not copied.
        batch_size: patches a batch.
        steps: batches an epoch, ``len(sampler)``.
        patch_size: spatial shape of the crops, or None for ready-made patches.
        augment: True for flips of every spatial axis and rotations by 90 degrees in the plane of the last two
            (multiples of 180 only where patches are not square there); False for none; or a function
            ``(x, y) -> (x, y)`` of single patches, CSBDeep's ``augmenter``, which is reproducible only if it
            takes no random numbers from elsewhere, and must give all patches the same shape.
        seed: whole number from 0.
        start: number of the batch that index 0 stands for: optimiser steps done so far.
        projected_axis: spatial axis of X that Y lacks or has with length 1 (0 for z of a projection).
        match_targets: whether each image (or ready-made patch) of Y is fitted to its input, see `ImagePairs`.
        upscale: pixels of Y along every spatial axis to one of X; ``patch_size`` is that of X.
        workers: threads that make batches, with Keras on TensorFlow. ``None`` for one for every four cores,
            at most 4; but one for an ``augment`` that is a function, which may not bear to be called by
            several at the same time.

    Raises ``InputError`` for empty data, shapes that do not agree, a patch larger than an image.
    """

    def __init__(self, X, Y, batch_size, steps, patch_size=None, augment=True, seed=0, start=0, *,
                 projected_axis=None, match_targets=False, upscale=1, workers=None):  # fmt: skip
        super().__init__()
        self.batch_size = _whole("batch_size", batch_size, 1)
        self.steps = _whole("steps", steps, 1)
        self.seed, self.start = _whole("seed", seed, 0), _whole("start", start, 0)
        self._pairs = ImagePairs(X, Y, projected_axis, match_targets, upscale)
        self._whole_images = patch_size is not None
        self.patch_size = self._check_patch_size(patch_size)
        known = isinstance(augment, bool) or callable(augment)
        expect(known, "augment", repr(augment), "True, False or a function (x, y) -> (x, y)")
        self._augmenter = augment if callable(augment) else None
        self._symmetries = None
        if augment is True:
            self._symmetries = GridSymmetries(self.patch_size, projected_axis, self._pairs.target_has_axis)
        areas = np.array([math.prod(shape) for shape in self._pairs.shapes], float)
        self._shapes, self._chances = np.array(self._pairs.shapes), areas / areas.sum()
        self._orders = {}
        if workers is None:
            workers = 1 if self._augmenter else default_workers()
        self.threads = _whole("workers", workers, 1)
        self._failure = self._made = None

    def _check_patch_size(self, patch_size):
        shapes = self._pairs.shapes
        if patch_size is None:
            for i, shape in enumerate(shapes):
                if shape != shapes[0]:
                    expected = "expected patches of one shape, or a patch_size to crop them to"
                    raise PairError(i, f"found spatial shape {shape} where X[0] has {shapes[0]}, {expected}")
            return shapes[0]
        fits = isinstance(patch_size, list | tuple | np.ndarray) and len(patch_size) == self._pairs.ndim
        expect(fits, "patch_size", repr(patch_size), f"{self._pairs.ndim} numbers, as X has axes")
        patch_size = tuple(_whole("patch_size", n, 1) for n in patch_size)
        for i, shape in enumerate(shapes):
            if any(p > n for p, n in zip(patch_size, shape, strict=True)):
                raise PairError(i, f"patch_size: found {patch_size}, expected at most {shape}, its size")
        return patch_size

    @property
    def pairs(self):
        """The `ImagePairs` that batches are cut from."""
        return self._pairs

    @property
    def num_batches(self):
        """None: endless to Keras. An epoch's length is ``len(sampler)``."""
        return None

    @property
    def positions(self):
        """Spatial positions (pixels, voxels) of a batch's inputs, the measure of its memory."""
        return self.batch_size * math.prod(self.patch_size)

    def fit_arguments(self):
        """The arguments of ``model.fit`` that go with this data: ``x``, ``steps_per_epoch``, ``shuffle``."""
        x = self
        if keras.backend.backend() == "tensorflow":
            x = prefetched(self._noting_failure, self.threads)
            size = ahead(self.threads) * sum(4 * math.prod(spec.shape) for spec in x.element_spec) / 1e6
            logger.info("batches: threads that make them: %d, at most %.1f MB ahead of training", self.threads, size)
        return {"x": x, "steps_per_epoch": self.steps, "shuffle": False}

    @contextmanager
    def surfacing(self):
        """Raise what making a batch raised in the block, of which TensorFlow makes an error of its own, as itself."""
        self._failure = None
        try:
            yield
        except Exception:
            if self._failure is not None:
                raise self._failure from None
            raise

    def _noting_failure(self, index):
        try:
            return self[index]
        except Exception as error:
            self._failure = error
            raise

    def __len__(self):
        return self.steps

    def __iter__(self):
        return (self[index] for index in range(self.steps))

    def __getitem__(self, index):
        """Batch number ``start + index``: ``x (batch, *patch, channels)`` and ``y``, C-contiguous float32."""
        step = self.start + index
        rng = np.random.default_rng([self.seed, step, _BATCH_STREAM])
        if self._whole_images:
            return self._batch(rng, *self._draw_crops(rng))
        return self._batch(rng, self._draw_patches(step), np.zeros((self.batch_size, self._pairs.ndim), int))

    def sample(self, k):
        """``k`` batches of inputs, augmented as in training, always the same ones, outside the sequence.

        Returns a list of arrays ``(batch, *patch, channels)``, for
        `reestimate`, which must not depend on the step it is called at.
        """
        batches = []
        for j in range(k):
            rng = np.random.default_rng([self.seed, j, _SAMPLE_STREAM])
            # For ready-made patches all areas are equal and the only crop is the whole patch.
            batches.append(self._batch(rng, *self._draw_crops(rng))[0])
        return batches

    def _draw_crops(self, rng):
        """Image indices ``(batch,)`` and crop corners ``(batch, ndim)``."""
        images = rng.choice(len(self._pairs), self.batch_size, p=self._chances)
        return images, rng.integers(self._shapes[images] - self.patch_size + 1)

    def _draw_patches(self, step):
        """Indices of the ready-made patches of a batch: the data in a new order every pass over it."""
        n = len(self._pairs)
        draws = range(step * self.batch_size, (step + 1) * self.batch_size)
        return [self._order(draw // n)[draw % n] for draw in draws]

    def _order(self, number):
        orders = self._orders
        if number not in orders:
            order = np.random.default_rng([self.seed, number, _PASS_STREAM]).permutation(len(self._pairs))
            # Replaced, not changed: worker threads read it meanwhile. Two, for batches that span two passes.
            self._orders = orders = {**dict(list(orders.items())[-1:]), number: order}
        return orders[number]

    def _drawn(self, rng, pairs):
        """What is made of the pairs of patches of a batch before they are augmented."""
        return pairs

    def _batch(self, rng, images, corners):
        # Lists, of which Python takes its numbers faster than from arrays.
        drawn = zip(images, corners.tolist(), strict=True)
        pairs = self._drawn(rng, [self._pairs.crop(i, corner, self.patch_size) for i, corner in drawn])
        if self._augmenter is not None:
            pairs = [self._augmenter(x, y) for x, y in pairs]
        elif self._symmetries is not None:
            flips, swaps = self._symmetries.draw(rng, len(pairs))
            drawn = zip(pairs, flips.tolist(), swaps.tolist(), strict=True)
            pairs = [self._symmetries.apply(*pair, flip, swap) for pair, flip, swap in drawn]
        batch = _stack([x for x, _ in pairs]), _stack([y for _, y in pairs])
        shapes = tuple(array.shape for array in batch)
        self._made = self._made or shapes
        expect(shapes == self._made, "augment", f"batches of shape {shapes}", f"{self._made} as of the first")
        return batch


def _stack(images):
    """One contiguous float32 array of images of one shape, converted while they are copied."""
    batch = np.empty((len(images), *images[0].shape), np.float32)
    for target, image in zip(batch, images, strict=True):
        if image.shape != target.shape:
            raise InputError(f"augment: found a patch of shape {image.shape}, expected {target.shape} as of the first")
        with np.errstate(over="ignore"):
            target[...] = image
    finite = bool(np.isfinite([batch.min(), batch.max()]).all())
    expect(finite, "training images", "values that are not finite in float32", "finite ones, also from an augmenter")
    return batch


class ValidationSet(keras.utils.PyDataset):
    """Validation batches ``(x, y)`` in float32, the same every epoch, in the order of the data.

    Images are cropped about their centre to one size: the smallest of the set along every axis, rounded
    down to a multiple of ``div_by``, and no more than ``at_most``. A batch holds as many as fit into
    ``max_positions``, but always at least one.

    Args:
        X, Y: as for `PatchSampler`; sizes may differ.
        div_by: what the network needs its input sizes to divide by, a number or one for every spatial axis.
        max_positions: spatial positions (pixels, voxels) a batch may have, usually ``sampler.positions``;
            None for single images.
        projected_axis: spatial axis of X that Y lacks or has with length 1.
        match_targets: as for `PatchSampler`; the fit is that of the whole image, not of what is cropped.
        at_most: spatial shape, a multiple of ``div_by``, for networks that take no larger images; ``None`` for any.
        upscale: as for `PatchSampler`; sizes are those of X.

    Attributes: ``size``, the common spatial shape; ``batch_size``.

    Raises ``InputError`` for empty data, shapes that do not agree, an image smaller than ``div_by``.
    """

    def __init__(self, X, Y, div_by=1, max_positions=None, *, projected_axis=None, match_targets=False, at_most=None,
                 upscale=1):  # fmt: skip
        # One worker: Keras would hand out some batches twice with more, and slicing needs no help.
        super().__init__()
        self._pairs = ImagePairs(X, Y, projected_axis, match_targets, upscale)
        ndim = self._pairs.ndim
        div_by = (div_by,) * ndim if isinstance(div_by, numbers.Integral) else tuple(div_by)
        expect(len(div_by) == ndim, "div_by", div_by, f"one number, or {ndim} as X has spatial axes")
        smallest = np.min(self._pairs.shapes, axis=0)
        self.size = tuple(int(n) // _whole("div_by", d, 1) * d for n, d in zip(smallest, div_by, strict=True))
        for i, shape in enumerate(self._pairs.shapes if 0 in self.size else ()):
            if any(n < d for n, d in zip(shape, div_by, strict=True)):
                raise PairError(i, f"found size {shape}, expected at least {div_by} to validate on")
        if at_most is not None:
            self.size = tuple(min(n, most) for n, most in zip(self.size, at_most, strict=True))
        self._limit = 0 if max_positions is None else _whole("max_positions", max_positions, 1)
        self.batch_size = min(len(self._pairs), max(1, self._limit // math.prod(self.size)))

    def crop(self, at_most):
        """Crop images to no more than a size from now on, a multiple of ``div_by``."""
        self.size = tuple(min(n, most) for n, most in zip(self.size, at_most, strict=True))
        self.batch_size = min(len(self._pairs), max(1, self._limit // math.prod(self.size)))

    @property
    def pairs(self):
        """The `ImagePairs` that it is made of."""
        return self._pairs

    @property
    def image_count(self):
        """Number of images."""
        return len(self._pairs)

    def __len__(self):
        return math.ceil(len(self._pairs) / self.batch_size)

    def __getitem__(self, index):
        """Batch ``index``: ``x (at most batch_size, *size, channels)`` and ``y``, C-contiguous float32."""
        return self.images(index)

    def images(self, index):
        """The images of batch ``index`` and their targets as they are, whatever losses are given."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        chosen = range(index * self.batch_size, min((index + 1) * self.batch_size, len(self._pairs)))
        corners = [np.subtract(self._pairs.shapes[i], self.size) // 2 for i in chosen]
        pairs = [self._pairs.crop(i, corner, self.size) for i, corner in zip(chosen, corners, strict=True)]
        return _stack([x for x, _ in pairs]), _stack([y for _, y in pairs])


class TripletSampler(PatchSampler):
    """A `PatchSampler` for slice interpolation (SSAN paper).

    The channels of X are those of the slice before and of the slice after. Of Y, the slice between, batches have the
    channels first and then those of X, which the style balance loss compares with. With ``augment=True`` half of the
    batches' neighbours, drawn at random, change places, which is the paper's swap of the temporal order.
    """

    def _batch(self, rng, images, corners):
        x, y = super()._batch(rng, images, corners)
        if self._symmetries is not None:
            swapped = rng.random(len(x)) < 0.5
            x[swapped] = np.roll(x[swapped], x.shape[-1] // 2, axis=-1)
        return x, np.concatenate([y, x], axis=-1)


class TripletValidationSet(ValidationSet):
    """A `ValidationSet` whose targets have the channels of the neighbours behind their own, as in `TripletSampler`."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x, np.concatenate([y, x], axis=-1)


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
