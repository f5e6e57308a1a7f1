"""The memory model: by hand for a tiny network, and against what a process really takes."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.layers import GVTO
from aeanet_tf.networks import CARESpec, UNetSpec, build_network, presets
from aeanet_tf.prediction.liveness import stage_peak, tile_bytes
from aeanet_tf.prediction.machine import available_bytes, parse_bytes, resident_bytes
from aeanet_tf.prediction.stages import OwnAttention, Stages

REPOSITORY = Path(__file__).parents[2]
TINY = UNetSpec(depth=2, first_filters=8, encoding_blocks=(0, 0), decoding_blocks=(0,), bottom=("attention",))


def test_peak_of_a_tiny_network_is_what_a_count_by_hand_gives():
    network = build_network(TINY.replace(attention={"num_heads": 1}))
    positions, none, every = 32 * 48, Stages(network), Stages(network, kept=8)
    first, last = (stage_peak(none.graph, stage, (32, 48)) for stage in none.stages)
    # The first convolution (8 numbers a position) makes the strided one (16 at a quarter of the positions).
    assert first == (4 * positions, 0, 4 * positions * (8 + 4), 4 * positions * (8 + 4))
    # Up-sampled features and those of the encoder, 8 each, make the concatenation; it and its normalisation, 16 each.
    assert last[:3] == (4 * positions, 4 * positions, 4 * positions * (8 + 8 + 16))
    # A column matrix of 3 x 3 taps and 8 channels at a quarter of the positions, beside the skip, input and output.
    assert last.columns == 4 * positions * max(32, 8 + 4 + 8 + 9 * 8 / 4)
    keeping, kept = (stage_peak(every.graph, stage, (32, 48)) for stage in every.stages)
    # Both features kept; while the coarser one is cut out twice, the finer one's copy without halo exists.
    assert keeping[:3] == (4 * positions, 4 * positions * (8 + 4), 4 * positions * (8 + 8 + 8))
    assert kept[:3] == (4 * positions * (8 + 4), 4 * positions, 4 * positions * (16 + 16))


def test_the_peak_of_a_small_care_is_what_a_count_by_hand_gives():
    own = OwnAttention(build_network(CARESpec(kern_size=3, n_depth=1, n_first=8)))
    positions = 32 * 48
    # Up-sampled features, the skip and both joined, 8 each; while up-sampled, 8 at a half of the positions.
    assert stage_peak(own.graph, own.stages[0], (32, 48)).between == 4 * positions * (8 + 8 + 16)


@pytest.mark.parametrize("key_filters", [None, 32])
def test_queries_count_with_their_own_channels(key_filters):
    image = keras.Input((None, None, 8))
    operator = GVTO(8, "down", residual="v1", key_filters=key_filters)
    alone = OwnAttention(keras.Model(image, operator(image)))
    positions = 32 * 48
    # The pre-activation; at a quarter of the positions query, shortcut and attention.
    between = 4 * positions * (8 + (key_filters or 8) / 4 + 8 / 4 + 8 / 4)
    assert stage_peak(alone.graph, alone.stages[0], (32, 48)).between == between


@pytest.mark.parametrize("preset", ["aeanet-em", "aeanet-care", "gvtnet-labelfree", "aeanet-flywing", "unet-flywing"])
def test_larger_tiles_take_more(preset):
    spec = presets[preset]
    network = build_network(spec)
    for stages in (Stages(network), Stages(network, kept=1e9), OwnAttention(network)):
        for stage in stages.stages:
            size = [4 * d for d in spec.divisor]
            least = tile_bytes(stages.graph, stage, size)
            for axis, step in enumerate(spec.divisor):
                more = [n + step * (i == axis) for i, n in enumerate(size)]
                # A stage behind a projection knows no planes.
                assert tile_bytes(stages.graph, stage, more) >= least
            assert tile_bytes(stages.graph, stage, [2 * n for n in size]) > least


def test_planes_after_a_projection_do_not_grow_with_the_stack():
    network = build_network(presets["aeanet-flywing"])
    graph, stage = (stages := Stages(network)).graph, stages.stages[-1]
    thin, thick = (tile_bytes(graph, stage, (planes, 256, 256)) for planes in (2, 4))
    assert thin < thick < 1.1 * thin
    assert tile_bytes(graph, stage, (80, 256, 256)) > 1.9 * tile_bytes(graph, stage, (40, 256, 256))


def test_half_precision_takes_less():
    half, single = (build_with(policy) for policy in ("mixed_bfloat16", "float32"))
    for stage, other in zip(half.stages, single.stages, strict=True):
        assert tile_bytes(half.graph, stage, (512, 512)) < 0.6 * tile_bytes(single.graph, other, (512, 512))


def build_with(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return Stages(build_network(presets["aeanet-em"]))
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("4GB", 4 * 10**9),
        ("512 MiB", 512 * 2**20),
        ("3.5G", 3_500_000_000),
        ("2gib", 2**31),
        (" 1.5 T ", 1_500_000_000_000),
        ("800", 800),
        ("64kB", 64_000),
        (12345, 12345),
        (1e9, 10**9),
    ],
)
def test_bytes_from_text(value, expected):
    assert parse_bytes(value) == expected


@pytest.mark.parametrize("value", ["lots", "", "-1", "0", "4 XB", "GB", "1,5GB", "nan", None, True, -3, 0.2, [4]])
def test_what_is_no_number_of_bytes_is_said_in_one_line(value):
    with pytest.raises(InputError) as caught:
        parse_bytes(value)
    assert str(caught.value) == f"max_memory: {value!r}, expected bytes or a number with a unit, such as 4GB"


def group(root, folder, **files):
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / folder / name.replace("__", ".")).write_text(text)


def test_the_limits_of_control_groups_count_with_those_above(tmp_path):
    group(tmp_path, "proc/self", cgroup="0::/job/step\n")
    everything = available_bytes(tmp_path)
    group(tmp_path, "sys/fs/cgroup/job/step", memory__max="max\n", memory__current="1000\n")
    assert available_bytes(tmp_path) > 0.5 * everything
    group(tmp_path, "sys/fs/cgroup/job", memory__max="70000\n", memory__current="30000\n")
    assert available_bytes(tmp_path) == 40000
    group(tmp_path, "sys/fs/cgroup/job", memory__stat="anon 5\ninactive_file 9000\n")
    assert available_bytes(tmp_path) == 49000
    group(tmp_path, "sys/fs/cgroup/job/step", memory__max="1000\n", memory__current="2000\n")
    assert available_bytes(tmp_path) == 0


@pytest.mark.parametrize("folder", ["memory/docker/abc", "memory"])
def test_the_limits_of_control_groups_of_version_1(tmp_path, folder):
    """Seen from within a container, its own group is the root."""
    group(tmp_path, "proc/self", cgroup="5:cpu,cpuacct:/\n4:memory:/docker/abc\n0::/\n")
    values = {"memory__limit_in_bytes": "60000\n", "memory__usage_in_bytes": "10000\n"}
    group(tmp_path, f"sys/fs/cgroup/{folder}", **values)
    assert available_bytes(tmp_path) == 50000
    group(tmp_path, f"sys/fs/cgroup/{folder}", memory__stat="inactive_file 7\ntotal_inactive_file 1000\n")
    assert available_bytes(tmp_path) == 51000


LIMITED = """
import resource, psutil
from aeanet_tf.prediction.machine import available_bytes
left = [available_bytes()]
for limit, used, more in (("RLIMIT_DATA", "data", 300_000_000), ("RLIMIT_AS", "vms", 200_000_000)):
    most = getattr(psutil.Process().memory_info(), used) + more
    resource.setrlimit(getattr(resource, limit), (most, resource.RLIM_INFINITY))
    left.append(available_bytes())
print(*left)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_the_limits_of_the_process_count():
    machine, data, addresses = map(int, python("-c", LIMITED).split())
    assert machine > 350_000_000
    assert 290_000_000 < data <= 300_000_000
    assert 190_000_000 < addresses <= 200_000_000


def test_resident_memory_is_that_of_this_process():
    before = resident_bytes()
    block = bytearray(os.urandom(1)) * 50_000_000
    assert 45_000_000 < resident_bytes() - before < 100_000_000
    del block


MEASURED = """
import sys
sys.path.insert(0, "benchmarks")
from memory_model import measure
row = measure("aeanet-em", "0", 0, [(728, 728)])["rows"][0]
print(row["measured"], row["predicted"], row["alive"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_a_tile_takes_what_was_predicted():
    measured, predicted, alive = map(float, python("-c", MEASURED).split())
    assert measured > 200e6
    assert predicted / measured > 0.9
    # Where another program keeps the cores busy, operations that could overlap do not: only what is alive is taken.
    assert predicted / measured < 1.6 or 0.98 < measured / alive < 1.02


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_what_is_alive_is_what_an_allocator_without_gaps_takes():
    exact = {"TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1", "MALLOC_MMAP_THRESHOLD_": "1000000"}
    measured, _, alive = map(float, python("-c", MEASURED, **exact).split())
    assert 0.9 < alive / measured < 1.1


def python(*arguments, **variables):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **variables}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]
