"""A disk that is full when a training writes: one line, what was there as it was, and the same command goes on."""

import errno
import os
import shutil

import h5py
import pytest

from aeanet_tf.cli.main import main
from aeanet_tf.errors import WriteError
from aeanet_tf.models import AEANet, AEANetConfig
from tests.models import EAGER, NETWORK, assert_same_weights, contents, eager_tensorflow, write_config, write_pairs

pytestmark = EAGER
COMMAND = ["train", "--config", "run.json"]


@pytest.fixture(scope="module", autouse=True)
def _eagerly():
    with eager_tensorflow():
        yield


def full_after(patch, count):
    """No file can be finished after so many; the list of those that were asked for."""
    synced, original = [], os.fsync

    def fsync(descriptor):
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}").rpartition("/")[2])
        if len(synced) > count:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(descriptor)

    patch.setattr(os, "fsync", fsync)
    return synced


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with a finished training, and the names of the files that it wrote, in order."""
    folder = tmp_path_factory.mktemp("whole")
    write_pairs(folder / "data" / "train" / "low", folder / "data" / "train" / "GT")
    write_config(folder / "run.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        names = full_after(patch, 1000)
        assert main(COMMAND) == 0
    return folder, names


def test_every_file_of_a_model_folder_is_written_whole(whole):
    folder, names = whole
    written = {name.removeprefix(".partial-") for name in names}
    assert written >= set(contents(folder / "models" / "m")), "by way of files.replacing"


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="names of open files are read as on Linux")
@pytest.mark.parametrize("name", ["config.json", "history.csv", "weights_last.h5", "filters.json"])
def test_a_full_disk(whole, tmp_path, monkeypatch, capfd, name):
    folder, names = whole
    shutil.copytree(folder / "data", tmp_path / "data")
    shutil.copy(folder / "run.json", tmp_path)
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        full_after(patch, names.index(f".partial-{name}"))
        assert main(COMMAND) == 2
    line = capfd.readouterr().err.splitlines()[-1]
    assert line == f"aeanet: error: models/m/{name}: cannot be written (No space left on device)"
    found = contents(tmp_path / "models" / "m")
    assert name not in found and not [path for path in found if "partial" in path or "lock" in path]
    for path in (tmp_path / "models" / "m").glob("*.h5"):
        with h5py.File(path) as file:
            assert len(file)
    assert main(COMMAND) == 0
    assert contents(tmp_path / "models" / "m").keys() == contents(folder / "models" / "m").keys()
    for weights in ("weights_best.h5", "weights_last.h5"):
        assert_same_weights(folder / "models" / "m" / weights, tmp_path / "models" / "m" / weights, 0)


def test_earlier_weights_stay(tmp_path, monkeypatch):
    model = AEANet(AEANetConfig("YX", preset="aeanet-em", network=NETWORK), "m", str(tmp_path))
    model.finish_training()
    before = (tmp_path / "m" / "weights_last.h5").read_bytes()
    full_after(monkeypatch, 0)
    with pytest.raises(WriteError, match=r"weights_last.h5: cannot be written \(No space left on device\)"):
        model.finish_training()
    assert (tmp_path / "m" / "weights_last.h5").read_bytes() == before
