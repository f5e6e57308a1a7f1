"""Tiles evaluated by other processes give what this one gives, also when a process is lost."""

import mmap
import os
import platform
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.io.read import open_image
from aeanet_tf.io.tiff import write_image
from aeanet_tf.models.preparation import NormalizationSection
from aeanet_tf.prediction.cluster import Cluster, connected, worker_memory
from aeanet_tf.runs.predict_files import predict_files
from tests.interop.example_models import make_model

pytest.importorskip("distributed")
PERCENTILES = NormalizationSection()


def loaded(path):
    array = open_image(path).array
    return array[tuple(slice(0, n) for n in array.shape)]


@pytest.fixture(scope="module")
def client():
    with connected(workers=2) as client:
        yield client


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    folder = tmp_path_factory.mktemp("volume")
    x = np.random.default_rng(1).gamma(2, 50, (19, 70, 61)) + np.linspace(0, 300, 61)
    write_image(folder / "a.tif", x.astype("float32"), "ZYX")
    model = make_model("care")
    options = {"n_tiles": (2, 3, 3), "file_format": "zarr"}
    (alone,) = predict_files(model, folder / "a.tif", folder / "alone", PERCENTILES, **options)
    return folder, model, options, loaded(alone)


def test_as_many_workers_start_as_asked_for():
    """Whatever the number of cores."""
    count = (os.cpu_count() or 1) + 1
    with connected(workers=count) as client:
        assert list(client.nthreads().values()) == [1] * count


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such thresholds")
def test_workers_use_again_what_arrays_have_freed(client):
    """dask tells its workers to give it back at once: each array is then pages of zeros from the system."""

    def faults():
        import resource

        import numpy as np

        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            np.ones(2**20).sum()
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    worker_memory(client)
    pages = 8 * 2**20 / mmap.PAGESIZE
    assert max(client.submit(faults, workers=[address]).result() for address in client.nthreads()) < 4 * pages


def test_what_workers_hold_is_told_once(client):
    """With TensorFlow; what is left in its pool later is not taken for held."""
    memory = worker_memory(client)
    assert 2e8 < memory.held < 2e9 and memory.available > 0
    assert worker_memory(client) is memory


@pytest.mark.parametrize(("tiles", "largest"), [(1, 1), (31, 1), (64, 2), (1000, 31)])
def test_many_tiles_are_sent_several_at_a_time(tiles, largest):
    """A scheduler takes milliseconds for each part: at least 16 for each worker, and none is left out."""
    client = SimpleNamespace(nthreads=lambda: {"a": 1, "b": 1})
    parts = Cluster(client, ".")._parts(list(range(tiles)), 16)
    assert [tile for part in parts for tile in part] == list(range(tiles))
    assert max(map(len, parts)) == largest and len(parts) >= min(tiles, 32)


def close(found, expected):
    assert found.shape == expected.shape
    return np.abs(found - expected).max() < 1e-5 * np.ptp(expected)


def test_two_workers_give_the_result_of_one(client, volume):
    folder, model, options, alone = volume
    (path,) = predict_files(model, folder / "a.tif", folder / "two", PERCENTILES, client=client, **options)
    assert close(loaded(path), alone)
    assert [p.name for p in (folder / "two").iterdir()] == ["a.zarr"]


def test_a_worker_that_is_killed_costs_time_only(client, volume, monkeypatch):
    """Killed in the second sweep, at work on a tile that reads features which it or the other has kept."""
    from aeanet_tf.prediction import sweeps

    folder, model, options, alone = volume
    pids = client.run(os.getpid)
    assert len(pids) == 2
    enter, count = sweeps.Journal.enter, []

    def enter_and_kill(self, stage, task, moments):
        enter(self, stage, task, moments)
        count.append(stage)
        if len(count) == 25:
            os.kill(next(iter(pids.values())), signal.SIGKILL)

    monkeypatch.setattr(sweeps.Journal, "enter", enter_and_kill)
    (path,) = predict_files(model, folder / "a.tif", folder / "killed", PERCENTILES, client=client, **options)
    assert close(loaded(path), alone)
    assert len(count) == 72, "every tile of every sweep is entered once"
    assert set(client.run(os.getpid).values()) != set(pids.values())


def test_images_of_a_folder_and_frames_one_after_the_other(client, tmp_path, monkeypatch):
    """Each is a job of its own; paths are those of this process, wherever the workers were started."""
    model, rng = make_model("em"), np.random.default_rng(3)
    monkeypatch.chdir(tmp_path)
    images = [rng.gamma(2, 50, (60, 48)).astype("float32") for _ in range(3)]
    for name, image in zip("abc", images, strict=True):
        write_image(f"in/{name}.tif", image, "YX")
    write_image("in/d.tif", np.stack(images), "TYX")
    client.run(os.chdir, "/")
    for options in ({}, {"n_tiles": (2, 2)}):
        predict_files(model, "in/[abc].tif", "out", PERCENTILES, client=client, **options)
        predict_files(model, "in/d.tif", "out", PERCENTILES, client=client)
        for name, image, frame in zip("abc", images, loaded("out/d.tif"), strict=True):
            expected = model.predict(image, "YX", tiling="whole")
            assert close(loaded(f"out/{name}.tif"), expected) and close(frame, expected)


def test_errors_of_workers_are_those_of_the_image(client, volume):
    folder, model, options, _ = volume
    x = np.ones((19, 70, 61), "float32")
    x[3, 4, 5] = np.inf
    write_image(folder / "bad.tif", x, "ZYX")
    none = NormalizationSection(kind="none")
    with pytest.raises(InputError, match=r"bad\.tif: the image holds NaN or infinite values"):
        predict_files(model, folder / "bad.tif", folder / "bad", none, client=client, **options)
    assert not (folder / "bad").exists()


def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch):
    monkeypatch.setattr("aeanet_tf.prediction.cluster.PATIENCE", 0.5)
    with (
        pytest.raises(InputError, match=r"scheduler: no answer from tcp://127\.0\.0\.1:9"),
        connected("tcp://127.0.0.1:9"),
    ):
        pass
    for address in ("nonsense", "tls://127.0.0.1:9"):
        with pytest.raises(InputError, match=f"scheduler: no answer from {address}"), connected(address):
            pass


def test_a_scheduler_without_workers_is_one_line(monkeypatch):
    from distributed import Client, LocalCluster

    monkeypatch.setattr("aeanet_tf.prediction.cluster.PATIENCE", 2)
    with LocalCluster(1, processes=False, dashboard_address=None) as cluster, Client(cluster) as client:
        cluster.scale(0)
        deadline = time.monotonic() + 20
        while client.nthreads() and time.monotonic() < deadline:
            time.sleep(0.1)
        address = cluster.scheduler_address
        with pytest.raises(InputError, match=f"scheduler: no workers at {address}"), connected(address):
            pass


def test_workers_with_several_threads_take_one_tile_at_a_time(volume):
    from distributed import Client, LocalCluster

    folder, model, options, alone = volume
    with LocalCluster(1, threads_per_worker=3, dashboard_address=None, memory_limit=0) as cluster, Client(cluster) as c:
        (path,) = predict_files(model, folder / "a.tif", folder / "threads", PERCENTILES, client=c, **options)
    assert close(loaded(path), alone)


def test_workers_read_large_images_and_share_what_fits_in_one_piece(client, tmp_path, monkeypatch):
    """What is large enough is a matter of time; here everything is."""
    from aeanet_tf.prediction import cluster, plan
    from aeanet_tf.runs import file_runs

    monkeypatch.setattr(file_runs, "SENT_BYTES", 0)
    monkeypatch.setattr(plan, "SWEEP_COST", 0)
    each, run, calls = cluster.Cluster.each, cluster.Cluster.run, []

    def noted_each(self, function, items):
        calls.append(("each", len(items)))
        return each(self, function, items)

    def noted_run(self, job, stage, tasks, contexts):
        calls.append(("run", len(tasks)))
        return run(self, job, stage, tasks, contexts)

    monkeypatch.setattr(cluster.Cluster, "each", noted_each)
    monkeypatch.setattr(cluster.Cluster, "run", noted_run)
    model, image = make_model("em"), np.random.default_rng(6).gamma(2, 50, (200, 180)).astype("float32")
    write_image(tmp_path / "a.tif", image, "YX")
    (path,) = predict_files(model, tmp_path / "a.tif", tmp_path / "out", PERCENTILES, client=client)
    assert close(loaded(path), model.predict(image, "YX", tiling="whole"))
    # Two passes over float32, then a sweep for each attention and one for the output.
    assert calls == [("each", 1), ("each", 1), *[("run", 2)] * (len(calls) - 2)] and len(calls) > 3
