"""Checkpoint files: every way to name one finds it, and none that is not whole is read."""

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.interop.tf1_files import find_prefix, read_checkpoint
from tests.interop.tf1 import data_file, write_checkpoint

VARIABLES = {
    "first/kernel": np.arange(600, dtype="float32"),
    "first/kernel/Adam": np.ones(600, "float32"),
    "global_step": np.int64(7),
}


@pytest.fixture
def prefix(tmp_path):
    return write_checkpoint(tmp_path / "run" / "model.ckpt-7", VARIABLES)


def test_variables_and_slots(prefix):
    variables, slots = read_checkpoint(prefix)
    assert list(variables) == ["first/kernel"] and slots == ["first/kernel/Adam", "global_step"]
    np.testing.assert_array_equal(variables["first/kernel"], VARIABLES["first/kernel"])


def test_values_in_several_files(tmp_path):
    import tensorflow as tf

    parts = [write_checkpoint(tmp_path / f"part{i}", {f"v{i}": np.full(3, i, "float32")}) for i in range(2)]
    whole = tmp_path / "model.ckpt-1"
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=list(map(str, parts)), destination_prefix=str(whole), delete_old_dirs=False
    )
    assert {name: value.tolist() for name, value in read_checkpoint(whole)[0].items()} == {"v0": [0] * 3, "v1": [1] * 3}
    (tmp_path / "model.ckpt-1.data-00001-of-00002").unlink()
    with pytest.raises(InputError, match=r"model\.ckpt-1\.data-00001-of-00002: no such file"):
        find_prefix(whole)


@pytest.mark.parametrize("suffix", ["", ".index", ".meta", ".data-00000-of-00001"])
def test_a_prefix_or_any_of_its_files(prefix, suffix):
    assert find_prefix(f"{prefix}{suffix}") == prefix


def test_a_folder_is_its_latest_or_only_checkpoint(prefix):
    assert find_prefix(prefix.parent) == prefix
    later = write_checkpoint(prefix.with_name("model.ckpt-10"), VARIABLES)
    with pytest.raises(InputError, match=r"run: 2 checkpoints, .*: model\.ckpt-10, model\.ckpt-7$"):
        find_prefix(prefix.parent)
    state = prefix.with_name("checkpoint")
    for path in ("model.ckpt-10", "/home/them/results/model.ckpt-10", r"C:\\results\\model.ckpt-10"):
        state.write_text(f'model_checkpoint_path: "{path}"\nall_model_checkpoint_paths: "model.ckpt-7"\n')
        assert find_prefix(prefix.parent) == later


def _truncate(prefix):
    """Cut off the last byte; the last value is the step counter's."""
    file = data_file(prefix)
    file.write_bytes(file.read_bytes()[:-1])


def _halve(prefix):
    file = data_file(prefix)
    file.write_bytes(file.read_bytes()[:1000])


def _flip(prefix):
    data = bytearray(data_file(prefix).read_bytes())
    data[100] ^= 1
    data_file(prefix).write_bytes(data)


def _objects(prefix):
    import tensorflow as tf

    tf.train.Checkpoint(v=tf.Variable(1.0)).write(str(prefix))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_truncate, r"model\.ckpt-7\.data-\*: truncated or damaged, global_step cannot be read"),
        (_halve, r"model\.ckpt-7\.data-\*: truncated or damaged, first/kernel cannot be read"),
        (_flip, r"model\.ckpt-7\.data-\*: truncated or damaged, first/kernel cannot be read"),
        (lambda prefix: data_file(prefix).unlink(), r"model\.ckpt-7\.data-00000-of-00001: no such file"),
        (lambda prefix: prefix.with_name("model.ckpt-7.index").unlink(), r"model\.ckpt-7\.index: no such file"),
        (
            lambda prefix: prefix.with_name("model.ckpt-7.index").rename(prefix.with_name("model.ckpt-8.index")),
            r"model\.ckpt-7\.index: no such file, .*; that folder holds model\.ckpt-8",
        ),
        (lambda prefix: prefix.with_name("model.ckpt-7.index").write_bytes(b"x" * 99), "not a readable checkpoint"),
        (_objects, "model.ckpt-7: a TensorFlow 2 or Keras checkpoint of objects"),
    ],
)
def test_damaged_files_are_one_line(prefix, spoil, message):
    spoil(prefix)
    with pytest.raises(InputError, match=message) as error:
        read_checkpoint(prefix)
    assert len(str(error.value).splitlines()) == 1


def test_an_empty_folder(tmp_path):
    with pytest.raises(InputError, match="the folder holds no checkpoint"):
        find_prefix(tmp_path)
