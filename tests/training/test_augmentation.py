import functools

import numpy as np

from aeanet_tf.training.patches import GridSymmetries


def _outcomes(shape, y=None, **kwargs):
    """Counts of all distinct results over many draws, with a check that target and input go together."""
    x = np.arange(np.prod(shape)).reshape(*shape, 1)
    y = x * 2 if y is None else y(x)
    symmetries = GridSymmetries(shape, **kwargs)
    counts = {}
    for flip, swap in zip(*symmetries.draw(np.random.default_rng(0), 1600), strict=True):
        a, b = symmetries.apply(x, y, flip, swap)
        key = (a.shape, a.tobytes(), b.shape, b.tobytes())
        counts[key] = counts.get(key, 0) + 1
    return x, y, counts


def _key(a, b):
    return (a.shape, a.tobytes(), b.shape, b.tobytes())


def test_square_patches_take_all_eight_symmetries_equally_often():
    x, y, counts = _outcomes((3, 3))
    expected = {_key(np.rot90(a, k), np.rot90(b, k)) for k in range(4) for a, b in [(x, y), (x[::-1], y[::-1])]}
    assert set(counts) == expected and len(expected) == 8
    assert all(140 < n < 260 for n in counts.values())  # 200 +- 4.5 standard deviations


def test_oblong_patches_are_not_turned_by_90_degrees():
    x, y, counts = _outcomes((3, 4))
    assert set(counts) == {_key(x[::i, ::j], y[::i, ::j]) for i in (1, -1) for j in (1, -1)}


def test_volumes_turn_about_z_only():
    x, y, counts = _outcomes((3, 3, 3))
    expected = set()
    for a, b in [(x, y), (x[:, ::-1], y[:, ::-1])]:
        for s in (1, -1):
            expected |= {_key(np.rot90(a[::s], k, (1, 2)), np.rot90(b[::s], k, (1, 2))) for k in range(4)}
    assert set(counts) == expected and len(expected) == 16


def test_projected_targets_follow_in_their_plane():
    for keep in (False, True):
        project = functools.partial(np.sum, axis=0, keepdims=keep)
        _, _, counts = _outcomes((2, 3, 3), project, projected_axis=0, target_has_axis=keep)
        for x_shape, x_bytes, y_shape, y_bytes in counts:
            x = np.frombuffer(x_bytes, int).reshape(x_shape)
            np.testing.assert_array_equal(np.frombuffer(y_bytes, int).reshape(y_shape), x.sum(0, keepdims=keep))
        assert len(counts) == 16


def test_no_rotation_where_y_or_x_is_projected():
    assert not GridSymmetries((4, 4, 4), projected_axis=1).can_swap
    assert GridSymmetries((4, 4, 4), projected_axis=0).can_swap
