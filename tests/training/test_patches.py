import pickle

import keras
import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.training import PatchSampler, ValidationSet


def _numbered(*shape, dtype="uint16"):
    return np.arange(np.prod(shape)).reshape(*shape, 1).astype(dtype)


def _constant(n, size=4):
    """Patches that carry their own index as value."""
    return np.broadcast_to(np.arange(n, dtype="float32")[:, None, None, None], (n, size, size, 1))


def test_batches_depend_on_seed_and_step_alone():
    x = _numbered(5, 6, 6)
    for patch_size in (None, (3, 3)):
        whole = PatchSampler(x, x, 4, 10, patch_size, seed=7)
        resumed = PatchSampler(x, x, 4, 10, patch_size, seed=7, start=6)
        other = PatchSampler(x, x, 4, 10, patch_size, seed=8)
        expected = [whole[i][0] for i in range(10)]
        for i in (3, 0, 2, 1):  # any order, as several workers ask for them
            np.testing.assert_array_equal(resumed[i][0], expected[6 + i])
        assert not any(np.array_equal(expected[i], expected[j]) for i in range(10) for j in range(i))
        assert not any(np.array_equal(other[i][0], expected[i]) for i in range(10))


def test_ready_made_patches_are_drawn_equally_often_in_a_new_order_every_pass():
    sampler = PatchSampler(_constant(7), _constant(7), 3, 14, augment=False)
    drawn = np.concatenate([x[:, 0, 0, 0] for x, _ in sampler])  # 42 patches: 6 passes over 7
    passes = drawn.reshape(6, 7)
    assert (np.sort(passes, 1) == np.arange(7)).all()
    assert len({tuple(p) for p in passes}) == 6


def test_a_batch_larger_than_the_data():
    x, _ = PatchSampler(_constant(2), _constant(2), 7, 1)[0]
    assert sorted(np.bincount(x[:, 0, 0, 0].astype(int))) == [3, 4]


def test_crops_are_the_same_place_in_input_and_target():
    images = [_numbered(9, 12), 1000 + _numbered(6, 5)]
    sampler = PatchSampler(images, [2 * image for image in images], 8, 5, (4, 5))
    seen = set()
    for x, y in sampler:
        assert x.shape == y.shape == (8, 4, 5, 1)
        assert x.dtype == y.dtype == np.float32 and x.flags.c_contiguous and y.flags.c_contiguous
        np.testing.assert_array_equal(y, 2 * x)
        for patch in x[..., 0]:
            image, offset = (images[1], 1000) if patch.min() >= 1000 else (images[0], 0)
            top, left = np.divmod(int(patch.min()) - offset, image.shape[1])
            crop = image[top : top + 4, left : left + 5, 0]
            assert any(np.array_equal(patch, crop[::i, ::j]) for i in (1, -1) for j in (1, -1))
            seen.add((offset, top, left))
    assert len(seen) > 15


def test_large_images_are_drawn_by_area_and_every_corner_equally_often():
    images = [np.zeros((4, 4, 1)), np.ones((4, 12, 1))]
    sampler = PatchSampler(images, images, 100, 40, (4, 4), augment=False)
    share = np.mean([x[:, 0, 0, 0].mean() for x, _ in sampler])
    assert abs(share - 0.75) < 0.03  # 4.4 standard deviations
    image = _numbered(4, 6)
    corners = np.concatenate([x[:, 0, 0, 0] for x, _ in PatchSampler([image], [image], 100, 9, (4, 4), augment=False)])
    counts = np.bincount(corners.astype(int))
    assert len(counts) == 3 and (np.abs(counts - 300) < 65).all()  # both borders are reached


@pytest.mark.parametrize("keep", [False, True])
def test_projection_in_three_dimensions(keep):
    volumes = [_numbered(5, 8, 8, dtype="float32"), 500 + _numbered(5, 9, 7, dtype="float32")]
    targets = [volume.sum(0, keepdims=keep) for volume in volumes]
    sampler = PatchSampler(volumes, targets, 6, 4, (5, 4, 4), projected_axis=0)
    for x, y in sampler:
        assert x.shape == (6, 5, 4, 4, 1)
        np.testing.assert_array_equal(y, x.sum(1, keepdims=keep))


def test_augment_by_a_function_as_csbdeeps():
    def augmenter(x, y):
        return x[:2] + 100, y[:2] + 200

    x = _constant(3)
    a, b = PatchSampler(x, x, 3, 1, augment=augmenter)[0]
    assert a.shape == (3, 2, 4, 1)
    assert sorted(a[:, 0, 0, 0]) == [100, 101, 102]
    np.testing.assert_array_equal(b, a + 100)


def test_sample_leaves_the_sequence_alone():
    x = _numbered(5, 6, 6)
    for patch_size in (None, (3, 3)):
        sampler = PatchSampler(x, x, 4, 3, patch_size, seed=1)
        before = [sampler[i][0] for i in range(3)]
        first, again = sampler.sample(3), sampler.sample(3)
        np.testing.assert_array_equal(first, again)
        np.testing.assert_array_equal(before, [sampler[i][0] for i in range(3)])
        assert first[0].shape == before[0].shape
        assert not any(np.array_equal(a, b) for a in first for b in before)


class _Recorder(keras.Model):
    def __init__(self):
        super().__init__()
        self.layer, self.seen = keras.layers.Conv2D(1, 1), []

    def call(self, x):
        return self.layer(x)

    def train_step(self, data):
        self.seen.append(np.array(data[0]))
        return super().train_step(data)


@pytest.mark.parametrize("workers", [1, 3])
def test_fit_sees_the_sequence(workers):
    x = _numbered(5, 4, 4)
    sampler = PatchSampler(x, x, 2, 4, workers=workers)
    model = _Recorder()
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(**sampler.fit_arguments(), epochs=3, verbose=0, validation_data=ValidationSet(x, x))
    np.testing.assert_array_equal(model.seen, [sampler[i][0] for i in range(12)])


def test_pickles_for_worker_processes():
    x = _numbered(5, 6, 6)
    sampler = PatchSampler(x, x, 4, 3, (3, 3))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(sampler))[2][0], sampler[2][0])


def test_validation_crops_about_the_centre_to_a_common_size():
    images = [_numbered(11, 13), _numbered(9, 20), _numbered(10, 14)]
    targets = [3 * image for image in images]
    validation = ValidationSet(images, targets, div_by=(4, 2), max_positions=2 * 8 * 12 + 5)
    assert validation.size == (8, 12) and validation.batch_size == 2 and len(validation) == 2
    batches = list(validation)
    assert [x.shape for x, _ in batches] == [(2, 8, 12, 1), (1, 8, 12, 1)]
    np.testing.assert_array_equal(batches[0][0][0], images[0][1:9, 0:12])
    np.testing.assert_array_equal(batches[0][0][1], images[1][0:8, 4:16])
    np.testing.assert_array_equal(batches[1][1][0], targets[2][1:9, 1:13])


def test_validation_of_a_network_that_takes_one_size():
    images = [_numbered(11, 13), _numbered(9, 20)]
    validation = ValidationSet(images, images, div_by=(4, 4), at_most=(4, 8))
    assert validation.size == (4, 8)
    np.testing.assert_array_equal(validation[1][0][0], images[1][2:6, 6:14])


def test_validation_batch_size_is_bounded_by_that_of_training():
    x = _constant(10, size=8)
    sampler = PatchSampler(x, x, 4, 1, (4, 4))
    assert sampler.positions == 64
    assert ValidationSet(x, x, max_positions=sampler.positions).batch_size == 1
    assert ValidationSet(x, x, max_positions=10).batch_size == 1
    assert ValidationSet(x, x).batch_size == 1
    assert ValidationSet(x, x, max_positions=10**6).batch_size == 10


def test_validation_of_a_projection():
    x = _numbered(2, 3, 9, 8)
    for keep in (False, True):
        validation = ValidationSet(x, x.sum(1, keepdims=keep), div_by=(1, 4, 4), projected_axis=0)
        a, b = validation[1]
        assert a.shape == (1, 3, 8, 8, 1)
        np.testing.assert_array_equal(b, a.sum(1, keepdims=keep))


def test_validation_loss_counts_every_image_once():
    """Keras averages over images, the smaller last batch included."""
    x = _constant(5)
    model = keras.Sequential([keras.Input((None, None, 1)), keras.layers.Conv2D(1, 1, kernel_initializer="zeros")])
    model.compile("sgd", "mae")
    loss = model.evaluate(ValidationSet(x, x, max_positions=32), verbose=0)
    assert loss == pytest.approx(2.0)  # mean of 0..4, in batches of 2, 2, 1


X = _numbered(3, 8, 8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PatchSampler(X, X, 0, 1), "batch_size: found 0"),
        (lambda: PatchSampler(X, X, 1, 2.5), "steps: found 2.5"),
        (lambda: PatchSampler(X, X, 1, 1, seed=-1), "seed: found -1"),
        (lambda: PatchSampler(X, X, 1, 1, (9, 8)), r"X\[0\]: patch_size: found \(9, 8\), expected at most \(8, 8\)"),
        (lambda: PatchSampler(X, X, 1, 1, (8,)), r"patch_size: found \(8,\), expected 2 numbers"),
        (lambda: PatchSampler(X, X, 1, 1, 8), "patch_size: found 8, expected 2 numbers"),
        (lambda: PatchSampler(X, X, 1, 1, augment="flip"), "augment: found 'flip'"),
        (lambda: PatchSampler([X[0], X[1, :7]], [X[0], X[1, :7]], 1, 1), r"X\[1\]: found spatial shape \(7, 8\)"),
        (lambda: PatchSampler([], [], 1, 1), "X: found no images"),
        (lambda: PatchSampler(X, X[:2], 1, 1), "Y: found 2 images"),
        (
            lambda: ValidationSet(X, X, div_by=16),
            r"X\[0\]: found size \(8, 8\), expected at least \(16, 16\)",
        ),
        (lambda: ValidationSet(X, X, div_by=(2, 2, 2)), "div_by: found"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
