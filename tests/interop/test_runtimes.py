import pytest
import tensorflow as tf

from aeanet_tf.errors import InputError
from aeanet_tf.interop.runtimes import check_graph, operations


def graph_of(build):
    with tf.Graph().as_default() as graph:
        build(tf.compat.v1.placeholder(tf.float32, (1, 8, 8, 2), "x"))
    return tf.compat.v1.train.export_meta_graph(graph_def=graph.as_graph_def(), graph=graph, strip_default_attrs=True)


def test_both_runtimes_are_listed():
    assert tuple(operations()) == ("tf1.12", "tf1.15")


@pytest.mark.parametrize(
    ("build", "refused_by", "reason"),
    [
        (lambda x: tf.raw_ops.BatchMatMulV2(x=x, y=x, adj_y=True, name="n"), ["tf1.12"], "does not have"),
        (lambda x: tf.raw_ops.Einsum(inputs=[x], equation="abcd->adcb", name="n"), ["tf1.12", "tf1.15"], "not have"),
        (lambda x: tf.raw_ops.GatherV2(params=x, indices=[0], axis=3, batch_dims=0, name="n"), [], ""),
        (lambda x: tf.nn.avg_pool(x, 2, 2, "SAME", name="n"), [], ""),
        (lambda x: tf.nn.avg_pool3d(x[None], 2, 2, "SAME", name="n"), [], ""),
        (
            lambda x: tf.raw_ops.GatherV2(params=x, indices=[[0]], axis=3, batch_dims=1, name="n"),
            ["tf1.12"],
            "has the attribute batch_dims",
        ),
        (
            lambda x: tf.raw_ops.Conv2D(
                input=x,
                filter=tf.ones((3, 3, 2, 2)),
                strides=[1, 1, 1, 1],
                padding="EXPLICIT",
                explicit_paddings=[0, 0, 1, 1, 1, 1, 0, 0],
                name="n",
            ),
            ["tf1.12"],
            "n \\(Conv2D\\) has ",
        ),
        (
            lambda x: tf.raw_ops.MatMul(a=tf.cast(x[0, 0], tf.bfloat16), b=tf.ones((2, 2), tf.bfloat16), name="n"),
            ["tf1.12", "tf1.15"],
            "has T = type number 14",
        ),
    ],
)
def test_what_a_runtime_refuses(build, refused_by, reason):
    graph = graph_of(build).graph_def
    for target in operations():
        if target in refused_by:
            with pytest.raises(InputError, match=f"{target} would refuse.*({reason})"):
                check_graph(graph, target)
        else:
            check_graph(graph, target)


def test_functions_are_refused():
    with tf.Graph().as_default() as graph:
        tf.function(lambda x: x + 1)(tf.constant(1.0))
        with pytest.raises(InputError, match="calls the function"):
            check_graph(graph.as_graph_def(), "tf1.15")
