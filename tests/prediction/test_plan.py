"""Plans fit into what they are given, and take the least arithmetic of those that do."""

from math import prod

import pytest

from aeanet_tf.errors import InputError
from aeanet_tf.networks import build_network, presets
from aeanet_tf.prediction.job import cut_evenly, tiles
from aeanet_tf.prediction.liveness import tile_bytes
from aeanet_tf.prediction.plan import Budget, make_plan
from aeanet_tf.prediction.stages import OwnAttention, Stages


@pytest.fixture(scope="module")
def care():
    spec = presets["aeanet-care"]
    return OwnAttention(build_network(spec)), spec


SIZE = (48, 512, 600)


def test_in_one_piece_where_it_fits(care):
    plan = make_plan(*care, [SIZE], Budget(1e12))
    assert (plan.n_tiles, plan.shared, plan.cost) == ((1, 1, 1), False, 1.0)
    assert make_plan(*care, [SIZE], Budget(None)).n_tiles == (1, 1, 1)


@pytest.mark.parametrize("memory", [1e10, 3e9, 1e9])
def test_the_tiles_of_a_plan_fit(care, memory):
    (own, spec), network = care, care[0].graph.network
    plan = make_plan(own, spec, [SIZE], Budget(memory, disk=1e12))
    assert plan.shared and prod(plan.n_tiles) > 1 and plan.tile_bytes <= memory
    # By what is really read, in each stage.
    stages = Stages(network, plan.kept)
    edges = cut_evenly(SIZE, plan.n_tiles, spec.divisor)
    for stage in stages.stages:
        for tile in tiles(SIZE, edges, spec.divisor, stage.radius):
            assert tile_bytes(stages.graph, stage, [stop - start for start, stop in tile.read]) <= memory
    # No larger than it need be: a tile more along no axis is wasted.
    assert plan.tile_bytes > memory / 2


def test_small_tiles_are_evaluated_together_where_they_fit(care):
    def plan(size, memory, *options):
        return make_plan(*care, [size], Budget(memory), *options)

    small = (16, 32, 32)
    alone = plan(small, 1e12).tile_bytes
    assert [plan(small, n * alone).batch for n in (1, 2.5, 100)] == [1, 2, 8]
    assert plan(small, 2.5 * alone).memory == 2 * alone
    assert [plan((16, 64, n), None).batch for n in (32, 64, 128, 256)] == [4, 2, 1, 1]
    # Tiles that share a context have moments of their own.
    assert plan(small, None, (1, 2, 2)).batch == 1
    assert plan(small, None, (1, 2, 2), False).batch == 8


def test_less_memory_takes_more_arithmetic(care):
    plans = [make_plan(*care, [SIZE], Budget(memory, disk=1e12)) for memory in (1e10, 3e9, 1e9, 5e8)]
    costs = [plan.cost for plan in plans]
    assert costs == sorted(costs) and costs[0] > 1
    tiles = [prod(plan.n_tiles) for plan in plans]
    assert tiles == sorted(tiles)


def test_features_are_kept_where_there_is_room(care):
    """Kept ones take 18 numbers a voxel at most at a time, evaluated anew they cost more than twice as much."""
    roomy = make_plan(*care, [SIZE], Budget(3e9, disk=1e12))
    tight = make_plan(*care, [SIZE], Budget(3e9, disk=prod(SIZE) * 4 * 5))
    none = make_plan(*care, [SIZE], Budget(3e9, disk=0))
    assert roomy.kept > tight.kept > none.kept == 0
    assert roomy.kept_bytes == prod(SIZE) * 4 * 18
    assert tight.kept_bytes <= prod(SIZE) * 4 * 5 and none.kept_bytes == 0
    assert roomy.cost < tight.cost < none.cost
    # In memory they count.
    inside = make_plan(*care, [SIZE], Budget(4e9))
    assert inside.memory == inside.tile_bytes + inside.kept_bytes <= 4e9 and inside.kept


def test_given_tiles_are_kept_to(care):
    assert make_plan(*care, [SIZE], Budget(1e12), n_tiles=(2, 3, 1)).n_tiles == (2, 3, 1)
    # Although there is not enough memory, by the model.
    plan = make_plan(*care, [SIZE], Budget(1e3), n_tiles=(1, 2, 1))
    assert (plan.n_tiles, plan.kept) == ((1, 2, 1), 0)


def test_a_group_takes_the_sweeps_in_one_piece_too(care):
    plan = make_plan(*care, [SIZE, (32, 80, 90)], Budget(1e12), group=True)
    assert plan.n_tiles == (1, 1, 1) and plan.shared and plan.size == SIZE
    cut = make_plan(*care, [SIZE, (32, 80, 92)], Budget(5e9), group=True)
    assert all(1 <= n <= m for n, m in zip(cut.tiles_for((32, 80, 92), (4, 4, 4)), cut.n_tiles, strict=True))
    assert cut.tiles_for(SIZE, (4, 4, 4)) == list(cut.n_tiles)


def test_too_little_memory_is_one_line(care):
    with pytest.raises(InputError, match=r"max_memory: 1\.0 MB are left for the network, the smallest tiles take \d+"):
        make_plan(*care, [SIZE], Budget(1e6, disk=0))


def test_a_stack_to_be_projected_is_not_cut_along_z():
    spec = presets["aeanet-flywing"].replace(filters=4, restoration__first_filters=4)
    network = build_network(spec)
    plan = make_plan(OwnAttention(network), spec, [(40, 512, 512)], Budget(2e8, disk=1e12))
    assert plan.n_tiles[0] == 1 and prod(plan.n_tiles) > 1


def test_networks_without_attention_are_cut_and_take_one_sweep():
    spec = presets["unet-em"].replace(first_filters=4)
    plan = make_plan(OwnAttention(build_network(spec)), spec, [(2000, 2000)], Budget(1e8))
    assert not plan.shared and prod(plan.n_tiles) > 1 and 1 < plan.cost < 1.5


def test_workers_share_an_image_that_fits_in_one_piece(care):
    """As many tiles as keep all of them at work, or nearly: the last of them costs as much as a full round."""
    for workers in (2, 3, 4, 16):
        plan = make_plan(*care, [SIZE], Budget(1e12, 1e12, workers))
        rounds = -(-prod(plan.n_tiles) // workers)
        assert plan.shared and prod(plan.n_tiles) <= 4 * workers + 8
        duration = plan.cost * rounds / prod(plan.n_tiles)
        assert duration < plan.duration < duration + 0.03, "the sweeps, beside"
        assert duration < 0.85, "sooner than by one worker"
        # Less than a third of their time is halos and waiting.
        assert duration * workers < 1.5 or workers == 16


def test_workers_get_no_tiles_that_change_the_result(care):
    """Tiles with attention of their own, whether asked for or the only ones there can be, are as few as fit."""
    assert make_plan(*care, [SIZE], Budget(1e12, 1e12, 4), shared=False).n_tiles == (1, 1, 1)
    spec = presets["aeanet-em"].replace(attention={"normalization": "softmax"})
    softmax = OwnAttention(build_network(spec)), spec
    assert make_plan(*softmax, [(512, 512)], Budget(1e12, 1e12, 4)).n_tiles == (1, 1)


def test_workers_get_no_small_tiles(care):
    """Sending the job for each sweep takes longer than the whole image does."""
    assert make_plan(*care, [(16, 64, 64)], Budget(1e12, 1e12, 4)).n_tiles == (1, 1, 1)


def test_workers_share_frames_before_their_tiles(care):
    """Eight frames in one piece keep four workers at work: nothing is read twice, no sweep is waited for."""
    own, spec = care
    assert make_plan(own, spec, [SIZE], Budget(1e12, 1e12, 4, images=8)).n_tiles == (1, 1, 1)
    assert prod(make_plan(own, spec, [SIZE], Budget(1e12, 1e12, 4, images=1)).n_tiles) > 3
