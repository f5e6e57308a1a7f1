"""Tiled equals whole, for every kind of network with attention that can be shared."""

import threading
import weakref
from functools import lru_cache
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from aeanet_tf.errors import InputError, WriteError
from aeanet_tf.layers.moments import context_moments
from aeanet_tf.models import AEANet, AEANetConfig, ProjectionAEANetConfig, SliceInterpolationConfig
from aeanet_tf.models.folder import model_class
from aeanet_tf.prediction.job import Frame, Job, cut_evenly, tiles
from aeanet_tf.prediction.stages import OwnAttention, Stages, attention_operators, can_be_swept
from aeanet_tf.prediction.sweeps import merged, overlapped, run_job
from tests.interop.example_models import randomise
from tests.prediction.exact import predict_exact

REFERENCES = {"attention": {"shared_references": 5}}
DOWN = {"downsampling": "attention", "attention": {"residual": "v1"}}
EACH = {
    "downsampling": ["attention_v2", "attention_v1"],
    "upsampling": ["attention_v1", "transposed_convolution"],
    "activation": "relu",
    "attention": {"shared_references": 5, "key_filters": 6, "value_filters": 10},
}
CASES = {
    "em": (AEANetConfig, {"axes": "YX", "preset": "aeanet-em", "network": REFERENCES}, (100, 76), (3, 2)),
    "care": (AEANetConfig, {"axes": "ZYX", "network": REFERENCES}, (24, 44, 48), (2, 3, 2)),
    "gvtnet down v1": (AEANetConfig, {"axes": "YX", "preset": "gvtnet-care", "network": DOWN}, (72, 100), (2, 3)),
    "operators of each level": (
        AEANetConfig,
        {"axes": "YX", "preset": "gvtnet-care", "network": EACH},
        (72, 100),
        (2, 3),
    ),
    "probabilistic": (
        AEANetConfig,
        {"axes": "YX", "preset": "aeanet-em", "probabilistic": True, "network": REFERENCES},
        (60, 76),
        (3, 2),
    ),
    "labelfree": (AEANetConfig, {"axes": "YX", "preset": "gvtnet-labelfree"}, (128, 136), (2, 3)),
    "siamese": (
        SliceInterpolationConfig,
        {
            "axes": "YX",
            "network": {
                "attention": "aea",
                "aea": {"shared_references": 5},
                "filters": 8,
                "blocks": 1,
                "convolutions": 2,
                "growth": 4,
            },
        },
        (53, 47),
        (2, 3),
    ),
    "flywing": (
        ProjectionAEANetConfig,
        {"axes": "ZYX", "network": {"filters": 4, **REFERENCES}},
        (3, 208, 240),
        (1, 2, 3),
    ),
}


@lru_cache
def make(name):
    make_config, options, size, n_tiles = CASES[name]
    config = make_config(unet_n_first=4, train_seed=0, **options)
    model = model_class(config.spec.kind)(config, "m", None)
    randomise(model.keras_model)
    operators = attention_operators(model.keras_model)
    if len(operators) == 1:
        # One alone is a thousandth of the output and could be wrong unnoticed; several in a row show as they are.
        for projection in (operators[0].attention.v_transform, operators[0].attention.out_transform):
            projection.kernel.assign(4 * projection.kernel)
    rng = np.random.default_rng(1)
    # Brighter to the right: every tile's own attention is another.
    image = rng.random((*size, config.n_channel_in)) + np.linspace(0, 2, size[-1])[:, None]
    return model, image.astype("float32"), n_tiles


@pytest.mark.parametrize("name", CASES)
def test_tiles_equal_the_whole_and_tiles_with_attention_of_their_own_do_not(name):
    """Sizes that are multiples of nothing, and tiles of different sizes along each axis that may be cut."""
    model, image, n_tiles = make(name)
    image = image[tuple(slice(0, n - (n > 3)) for n in image.shape[:-1])]

    def predict(**options):
        options |= {"axes": model.config.axes, "normalizer": None}
        if not model.config.probabilistic:
            return model.predict(image, **options)
        found = model.predict_probabilistic(image, **options)
        return np.concatenate([found.mean(), found.scale()], -1)

    whole = predict(tiling="whole")
    found = predict(n_tiles=(*n_tiles, 1))
    assert found.shape == whole.shape
    assert np.abs(found - whole).max() < 1e-5 * np.ptp(whole)
    overlap = predict(n_tiles=(*n_tiles, 1), tiling="overlap")
    channels = model.config.n_channel_out
    assert np.abs(overlap - whole)[..., :channels].max() > 1e-4 * np.ptp(whole[..., :channels])


def test_in_one_piece_the_network_is_keras_own():
    model, image, _ = make("care")
    whole = np.asarray(model.keras_model(image[None]))[0]
    assert np.abs(model.predict(image, "ZYXC", normalizer=None) - whole).max() < 1e-6 * np.ptp(whole)


@pytest.mark.parametrize("name", ["em", "probabilistic", "flywing"])
def test_images_evaluated_together_attend_each_to_itself(name):
    model, image, _ = make(name)
    size = tuple(n // step * step for n, step in zip(image.shape, model.spec.divisor, strict=False))
    image = image[tuple(slice(0, n) for n in size)]
    stages, inner = OwnAttention(model.keras_model), [(0, size[0]), *((8, n - 4) for n in size[1:])]
    images = [image, image[:, ::-1] ** 2, 3 * image]
    found = stages.run_alike([[one] for one in images], inner)
    for one, (together, kept) in zip(images, found, strict=True):
        alone, _ = stages.run(0, [one], inner, [])
        assert together.shape == alone.shape and kept == []
        assert np.abs(together - alone).max() < 1e-5 * np.ptp(alone)


def test_groups_are_of_tiles_alike_and_the_same_for_a_run_taken_up_again():
    model, image, _ = make("em")
    stages = OwnAttention(model.keras_model)
    sizes = [(96, 64), (96, 64), (96, 64), (96, 64), (64, 64), (96, 64)]
    frames = [Frame(image[: s[0], : s[1]], None, None, [[0, s[0]], [0, s[1]]]) for s in sizes]
    job = Job(stages, model.spec, frames, None, batch=3)
    groups = [[(0, 0), (1, 0), (2, 0)], [(3, 0)], [(4, 0)], [(5, 0)]]
    assert job.groups(0, job.tasks(0)) == groups
    assert job.groups(0, [(1, 0), (4, 0)]) == [groups[0], groups[2]]
    assert Job(stages, model.spec, frames, None).groups(0, job.tasks(0)[:2]) == [[(0, 0)], [(1, 0)]]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ("em", "care") else pytest.mark.slow) for name in CASES]
)
def test_kept_features_change_nothing(name):
    """The coarsest and all of them: evaluated once, and read with the halo of the next stage."""
    model, image, n_tiles = make(name)
    whole = np.asarray(model.keras_model(image[None]))[0]
    densities = Stages(model.keras_model).densities()
    for kept in sorted({densities[0], densities[-1]}):
        stages = Stages(model.keras_model, kept)
        found = predict_exact(model.keras_model, model.spec, image, n_tiles, stages)
        assert np.abs(found - whole).max() < 1e-5 * np.ptp(whole)
    # All of them kept: nothing but the first stage, and stages that add to the image, reads the image.
    assert len(stages.features) >= len(stages.attention)
    assert sum(s.cost for s in stages.stages) < 0.8 * sum(s.cost for s in Stages(model.keras_model).stages)


@pytest.mark.parametrize("stage", [0, 1])
def test_a_halo_one_step_shorter_would_show(stage):
    model, image, n_tiles = make("em")
    whole = np.asarray(model.keras_model(image[None]))[0]
    stages = Stages(model.keras_model)
    radius = stages.stages[stage].radius
    # The smallest that is shorter after rounding to the grid.
    stages.stages[stage].radius = tuple(-(-r // 4) * 4 - 4 for r in radius)
    found = predict_exact(model.keras_model, model.spec, image, n_tiles, stages)
    # What agrees differs by a tenth of that.
    assert np.abs(found - whole).max() > 3e-6 * np.ptp(whole)
    assert radius == ((10, 10), (22, 22))[stage]


def test_moments_of_tiles_are_those_of_the_image():
    """Each position once: halos are cut away, at the resolution of the operator."""
    model, image, n_tiles = make("em")
    stages = Stages(model.keras_model)
    edges = cut_evenly(image.shape[:-1], n_tiles, model.spec.divisor)
    parts = tiles(image.shape[:-1], edges, model.spec.divisor, (22, 22))
    found = merged([stages.run(0, [image[tile.source]], tile.inner, [])[0] for tile in parts])
    features = keras.Model(model.keras_model.input, stages.stages[0].target)(image[None])
    expected = context_moments(stages.attention[0].layer.batch_norm(features))
    assert found.weight[0] == 25 * 19
    for one, other in zip(found[1:], expected[1:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_progress_names_the_sweep_and_counts_all_tiles():
    model, image, n_tiles = make("em")
    lines = []
    predict_exact(model.keras_model, model.spec, image, n_tiles, progress=lambda *line: lines.append(line))
    assert lines == [("attention 1 of 1 (bottom_block.block_0)", 12)] * 6 + [("output", 12)] * 6


def test_what_cannot_be_swept():
    softmax = AEANet(AEANetConfig("YX", unet_n_first=4, network={"attention": {"normalization": "softmax"}}), "m", None)
    assert not can_be_swept(softmax.keras_model)
    assert can_be_swept(make("care")[0].keras_model)


TASKS = [(0, tile) for tile in range(6)]


class Work:
    """A job that notes what happens, and fails where it is told to."""

    def __init__(self, fails=None, error=None):
        self.fails, self.error = fails, error
        self.events, self.lock, self.alive = [], threading.Lock(), []
        self.begun = {(kind, tile): threading.Event() for kind in ("read", "write") for tile in range(7)}
        self.waits = True

    def _note(self, kind, tile, on):
        with self.lock:
            self.events.append((kind, tile, on))
        if on and (kind, tile) in self.begun:
            self.begun[kind, tile].set()
        if on and (kind, tile) == self.fails:
            raise self.error

    def _array(self):
        array = np.zeros(3)
        with self.lock:
            self.alive = [one for one in self.alive if one() is not None] + [weakref.ref(array)]
            assert len(self.alive) <= 4, "two inputs, what is being written, and what is computed"
        return array

    def read(self, stage, frame, tile):
        self._note("read", tile, True)
        array = self._array()
        self._note("read", tile, False)
        return [array]

    def groups(self, stage, tasks):
        return [[task] for task in tasks]

    def compute(self, stage, group, inputs, contexts):
        ((_, tile),) = group
        self._note("compute", tile, True)
        # The next is read and the last one written meanwhile.
        for kind, other in (("read", tile + 1), ("write", tile - 1)) if self.waits else ():
            assert other in (-1, 6) or self.begun[kind, other].wait(10)
        self._note("compute", tile, False)
        return [self._array()]

    def write(self, stage, frame, tile, result):
        self._note("write", tile, True)
        self._note("write", tile, False)
        return tile * 10


def tile_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("aeanet tiles")]


def test_tiles_are_read_ahead_written_behind_and_given_in_order():
    job, given = Work(), []
    for (_, tile), moments in overlapped(job, 0, TASKS, []):
        assert moments == 10 * tile and ("write", tile, False) in job.events
        assert ("read", tile + 3, True) not in job.events
        given.append(tile)
    assert given == list(range(6))
    for kind in ("read", "compute", "write"):
        found = [(tile, on) for one, tile, on in job.events if one == kind]
        assert found == [(tile, on) for tile in range(6) for on in (True, False)], "one at a time, in order"
    assert not tile_threads()


def test_one_tile_takes_no_threads():
    job = Work()
    job.waits = False
    threads = threading.active_count()
    for task, moments in overlapped(job, 0, TASKS[:1], []):
        assert (task, moments) == ((0, 0), 0) and threading.active_count() == threads
    assert len(job.events) == 6
    assert list(overlapped(job, 0, [], [])) == []


@pytest.mark.parametrize(
    ("fails", "error", "given"),
    [
        (("read", 0), InputError("the image holds NaN"), 0),
        (("read", 4), InputError("the image holds NaN"), 4),
        (("compute", 0), MemoryError(), 0),
        (("compute", 3), MemoryError(), 3),
        (("compute", 3), KeyboardInterrupt(), 3),
        (("write", 0), WriteError("the disk is full"), 0),
        (("write", 2), WriteError("the disk is full"), 2),
        (("write", 5), WriteError("the disk is full"), 5),
    ],
)
def test_errors_surface_as_they_are_after_the_tiles_before(fails, error, given):
    job, found = Work(fails, error), []
    job.waits = False
    with pytest.raises(type(error)) as caught:
        for task, _ in overlapped(job, 0, TASKS, []):
            found.append(task)
    assert caught.value is error and found == TASKS[:given]
    assert not tile_threads()
    assert ("write", given, False) not in job.events


@pytest.mark.parametrize("error", [WriteError("the disk is full"), KeyboardInterrupt()])
def test_nothing_is_written_after_the_journal_failed(error):
    size = (8, 40)
    frame = Frame(np.zeros((*size, 1)), None, None, None)
    job, entered = Work(), []
    job.waits = False
    job.stages = SimpleNamespace(stages=[SimpleNamespace(operator=None, keeps=[], inputs=[])])
    job.frames, job.tasks = [frame], lambda stage: TASKS

    def enter(stage, task, moments):
        if len(entered) == 2:
            raise error
        entered.append(task)

    with pytest.raises(type(error)) as caught:
        run_job(job, journal=SimpleNamespace(done=lambda *_: set(), enter=enter))
    # Also while the exception, and with it everything on the stack, is still held.
    assert caught.value is error and entered == TASKS[:2] and not tile_threads()
    events = list(job.events)
    assert ("write", 4, True) not in events
    assert job.events == events
