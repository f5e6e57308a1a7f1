"""The files of a TensorFlow 1 checkpoint: which prefix is meant, and what its variables hold."""

import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from aeanet_tf.errors import InputError, one_line
from aeanet_tf.paths import named_path

_SUFFIX = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
_SLOTS = {"Adam", "Adam_1", "Momentum", "RMSProp", "RMSProp_1", "Adagrad", "Adadelta", "Adadelta_1"}
_COUNTERS = {"global_step", "beta1_power", "beta2_power"}


def find_prefix(path):
    """The prefix of a checkpoint, ``FOLDER/model.ckpt-120000`` of ``FOLDER/model.ckpt-120000.index`` and ``.data-*``.

    Args:
        path: the prefix; or one of its files (``.index``, ``.data-*``, ``.meta``); or a folder, which stands for the
            checkpoint that its file ``checkpoint`` names, or for the only one in it.

    Raises:
        InputError: no ``.index``; no ``.data-*`` or not all of their number; a folder with no checkpoint, or with
            several, which are listed.
    """
    path = named_path(path)
    prefix = _in_folder(path) if path.is_dir() else path.with_name(_SUFFIX.sub("", path.name))
    index = Path(f"{prefix}.index")
    if not index.is_file():
        others = _prefixes(prefix.parent)
        alternatives = f"; that folder holds {_listed(others)}" if others else ""
        raise InputError(f"{index}: no such file, expected the index of a TensorFlow 1 checkpoint{alternatives}")
    _check_data(prefix)
    return prefix


def _prefixes(folder):
    return sorted(p.stem for p in folder.iterdir() if p.suffix == ".index") if folder.is_dir() else []


def _listed(names, limit=10):
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _in_folder(folder):
    names = _prefixes(folder)
    latest = None
    if (folder / "checkpoint").is_file():
        text = (folder / "checkpoint").read_text(encoding="utf-8", errors="replace")
        latest = re.search(r'^model_checkpoint_path:\s*"(.*)"', text, re.MULTILINE)
    if latest:
        # Often an absolute path of the machine that trained: only the name means something here.
        name = re.split(r"[\\/]+", latest[1])[-1]
        if name in names:
            return folder / name
    if not names:
        raise InputError(f"{folder}: the folder holds no checkpoint (no .index file)")
    if len(names) > 1:
        raise InputError(f"{folder}: {len(names)} checkpoints, give the prefix of one of them: {_listed(names)}")
    return folder / names[0]


def _check_data(prefix):
    pattern = re.compile(re.escape(prefix.name) + r"\.data-(\d{5})-of-(\d{5})")
    shards = [m for m in map(pattern.fullmatch, (p.name for p in prefix.parent.iterdir())) if m]
    if not shards:
        raise InputError(f"{prefix}.data-00000-of-00001: no such file, expected it beside {prefix.name}.index")
    total = max(m[2] for m in shards)
    for number in range(int(total)):
        shard = Path(f"{prefix}.data-{number:05d}-of-{total}")
        if not shard.is_file():
            raise InputError(f"{shard}: no such file, expected it beside {prefix.name}.index")


def read_checkpoint(path):
    """Read a TensorFlow 1 checkpoint; no graph (``.meta``) is needed.

    All variables are read, those of the optimiser too, so that a truncated or damaged file is noticed wherever the
    damage is: every tensor has a checksum.

    Args:
        path: as in `find_prefix`.

    Returns:
        ``(variables, slots)``: a dict from name to array, and the sorted names of what belongs to the optimiser
        (moments such as ``.../Adam``, ``global_step``, ``beta1_power``, ``beta2_power``).

    Raises:
        InputError: as `find_prefix`; a file that is truncated, damaged or no checkpoint; a checkpoint of TensorFlow 2
            (of objects, not of named variables).
    """
    import tensorflow as tf

    prefix = find_prefix(path)
    with _plain_name(prefix) as plain:
        return _read(tf, prefix, plain)


@contextmanager
def _plain_name(prefix):
    """Give a prefix of the same files that TensorFlow, which takes prefixes for patterns, finds no pattern in."""
    if re.fullmatch(r"[\w./ -]+", str(prefix), re.ASCII):
        yield str(prefix)
        return
    with tempfile.TemporaryDirectory(prefix="aeanet-") as folder:
        for path in prefix.parent.iterdir():
            end = path.name.removeprefix(prefix.name)
            if path.name.startswith(prefix.name) and _SUFFIX.fullmatch(end):
                try:
                    os.symlink(path.absolute(), os.path.join(folder, f"checkpoint{end}"))
                except OSError:
                    shutil.copyfile(path, os.path.join(folder, f"checkpoint{end}"))
        yield os.path.join(folder, "checkpoint")


def _read(tf, prefix, plain):
    """`read_checkpoint` of the prefix as TensorFlow finds its files."""
    try:
        reader = tf.compat.v1.train.NewCheckpointReader(plain)
        names = sorted(reader.get_variable_to_shape_map())
    except Exception as error:  # Which class TensorFlow raises depends on the damage.
        raise InputError(f"{prefix}.index: not a readable checkpoint ({one_line(error)})") from None
    if "_CHECKPOINTABLE_OBJECT_GRAPH" in names:
        raise InputError(
            f"{prefix}: a TensorFlow 2 or Keras checkpoint of objects, expected one of named variables (TensorFlow 1)"
        )
    variables, slots = {}, []
    for name in names:
        try:
            value = reader.get_tensor(name)
        except Exception as error:  # As above; a truncated file is an IndexError.
            raise InputError(
                f"{prefix}.data-*: truncated or damaged, {name} cannot be read ({one_line(error)})"
            ) from None
        if is_slot(name):
            slots.append(name)
        else:
            variables[name] = value
    return variables, slots


def is_slot(name):
    """Whether a variable belongs to the optimiser and not to the network, by its name."""
    *scope, last = name.split("/")
    return last in _COUNTERS or (bool(scope) and last in _SLOTS)
