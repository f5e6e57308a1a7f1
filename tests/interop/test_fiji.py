import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from aeanet_tf.errors import InputError
from aeanet_tf.interop import fiji
from aeanet_tf.interop.fiji import export_fiji, meta, run_saved_model, settings
from aeanet_tf.models import AEANet, AEANetConfig
from tests.interop.example_models import EXAMPLES, images, make_model, predictions, relative_error


def unpack(path, folder):
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return folder


def meta_graph(path):
    saved = saved_model_pb2.SavedModel()
    with zipfile.ZipFile(path) as archive:
        saved.ParseFromString(archive.read("saved_model.pb"))
    (graph,) = saved.meta_graphs
    return graph


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Model and zip of a kind, made once."""
    folder, made = tmp_path_factory.mktemp("zips"), {}

    def get(kind):
        if kind not in made:
            model = make_model(kind)
            made[kind] = model, export_fiji(model, folder / kind)
        return made[kind]

    return get


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_zip_predicts_what_python_predicts(kind, exported, tmp_path):
    """Three sizes each; the legacy tests run the same files in the runtimes themselves."""
    model, path = exported(kind)
    inputs = images(model)
    found = run_saved_model(unpack(path, tmp_path / "model"), [x[None] for x in inputs])
    for y, expected in zip(found, predictions(model, inputs), strict=True):
        assert relative_error(y[0], expected) < 1e-5


@pytest.mark.parametrize(
    ("kind", "shape_in", "shape_out"),
    [
        ("em", [-1, -1, -1, 1], [-1, -1, -1, 1]),
        ("probabilistic", [-1, -1, -1, -1, 1], [-1, -1, -1, -1, 2]),
        ("probabilistic-2d", [-1, -1, -1, 2], [-1, -1, -1, 4]),
        ("flywing", [-1, -1, -1, -1, 1], [-1, -1, -1, 1]),
    ],
)
def test_tag_signature_and_shapes(kind, shape_in, shape_out, exported):
    """The plugin takes rank and channels from the signature; one axis less means projection."""
    graph = meta_graph(exported(kind)[1])
    assert list(graph.meta_info_def.tags) == ["serve"]
    signature = graph.signature_def["serving_default"]
    assert list(signature.inputs) == ["input"] and list(signature.outputs) == ["output"]
    for info, expected in ((signature.inputs["input"], shape_in), (signature.outputs["output"], shape_out)):
        assert [d.size for d in info.tensor_shape.dim] == expected
        assert info.dtype == tf.float32.as_datatype_enum


def test_contents_and_meta(exported):
    model, path = exported("flywing")
    assert path.name == "flywing.zip"
    with zipfile.ZipFile(path) as archive:
        assert set(archive.namelist()) == {"saved_model.pb", "variables/", "meta.json"}
        meta = json.loads(archive.read("meta.json"))
    assert meta.pop("version")
    assert meta == {
        "type": "ProjectionAEANet",
        "probabilistic": False,
        "axes": "ZYXC",
        "axes_div_by": [1, 16, 16, 1],
        "tile_overlap": [*model.receptive_radius, 0],
        "axes_out": "YXC",
    }


def test_weights_are_constants(exported):
    graph = meta_graph(exported("em")[1]).graph_def
    ops = {node.op for node in graph.node}
    assert not {op for op in ops if "Variable" in op or "Resource" in op}
    assert not graph.library.function


def test_target_tf1_12_has_the_first_batch_matmul(exported, tmp_path):
    model, path = exported("em")
    older = export_fiji(model, tmp_path / "older", "tf1.12")
    old, new = ({node.op for node in meta_graph(p).graph_def.node} for p in (older, path))
    assert "BatchMatMul" in old and "BatchMatMulV2" not in old
    assert "BatchMatMulV2" in new


def test_export_tf_writes_csbdeeps_file_into_the_model_folder(tmp_path):
    model = make_model("unet", tmp_path)
    assert model.export_TF() == tmp_path / "unet" / "TF_SavedModel.zip"
    assert zipfile.is_zipfile(tmp_path / "unet" / "TF_SavedModel.zip")
    with pytest.raises(InputError, match="fname"):
        make_model("unet").export_TF()


def test_export_works_where_functions_run_eagerly(tmp_path):
    """As in a notebook that is being debugged; the setting is left as it was."""
    tf.config.run_functions_eagerly(True)
    try:
        path = export_fiji(make_model("unet"), tmp_path / "m.zip")
        assert tf.config.functions_run_eagerly()
    finally:
        tf.config.run_functions_eagerly(False)
    assert meta_graph(path).graph_def.node


def failing(tmp_path, match, model, target="tf1.15"):
    with pytest.raises(InputError, match=match):
        export_fiji(model, tmp_path / "m.zip", target)
    assert not list(tmp_path.iterdir())


def test_unknown_target(tmp_path):
    failing(tmp_path, "'tf2.0' is unknown, expected one of tf1.12, tf1.15", make_model("unet"), "tf2.0")


def test_a_fixed_input_size_is_refused(tmp_path):
    config = AEANetConfig("YX", preset="learned-query-em", unet_n_first=4, network={"input_size": [32, 32]})
    failing(tmp_path, "learned query", AEANet(config, "learned", None))


def test_weights_beyond_protobufs_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(fiji, "PROTOBUF_LIMIT", 1000)
    failing(tmp_path, "2 GiB", make_model("unet"))


def test_operations_the_runtime_lacks_are_refused(tmp_path):
    """An error function: no TensorFlow 1 graph of ours has it in its list."""
    import keras

    model = make_model("unet")
    network = model.keras_model
    model.keras_model = keras.Model(network.input, keras.layers.Lambda(tf.math.erf)(network.output))
    failing(tmp_path, r"tf1.15 would refuse the network: .*\(Erf\) is an operation that it does not have", model)


def test_a_wrong_graph_is_noticed(tmp_path, monkeypatch):
    """The file is run before it gets its name."""
    right = fiji.frozen_graph

    def wrong(network, target):
        graph, source, result = right(network, target)
        for node in graph.node:
            if node.op == "Relu6":
                node.op = "Relu"
        return graph, source, result

    model = make_model("unet")
    kernel = next(w for w in model.keras_model.weights if w.path == "first_convolution/kernel")
    kernel.assign(100 * kernel)
    monkeypatch.setattr(fiji, "frozen_graph", wrong)
    with pytest.raises(RuntimeError, match="differs from the network"):
        fiji.export_fiji(model, tmp_path / "m.zip")
    assert not list(tmp_path.iterdir())


def test_settings_name_the_plugins_fields(tmp_path):
    text = settings(make_model("flywing"))
    assert "'Percentile Bottom' 2, 'Percentile Top' 99.8" in text
    assert "'Tile size has to be multiple of' 16" in text
    assert int(text.rsplit(" ", 1)[1]) % 16 == 0


def test_a_model_that_segments_names_its_classes():
    model = make_model("labels")
    assert meta(model)["labels"] == [0, 255] and "labels" not in meta(make_model("unet"))
    assert settings(model).endswith("the probabilities of the classes, in the order of their labels: 0, 255")


def test_settings_follow_the_normalisation_of_training(tmp_path):
    model = make_model("unet", tmp_path)
    run = {"model": {"name": "unet"}, "data": {"normalization": {"kind": "range", "low": 10, "high": 255}}}
    (model.logdir / "run.json").write_text(json.dumps(run))
    assert "'Normalize Input' off, after subtracting 10 and dividing by 245" in settings(model)


@pytest.mark.parametrize(
    "equation",
    [
        "abc,abd->acd",
        "abcd,aecd->acbe",
        "abcd,adce->abce",
        "abcd,abce->acde",
        "abcd,acde->abce",
        "ab,bc->ac",
        "ab,cb->ca",
    ],
)
def test_einsum_becomes_matrix_products(equation):
    a, b = equation.split("->")[0].split(",")
    size = dict(zip("abcde", (2, 3, 4, 5, 6), strict=True))
    rng = np.random.default_rng(0)
    one, other = (rng.random([size[label] for label in labels], dtype=np.float32) for labels in (a, b))
    with tf.Graph().as_default() as graph:
        tf.raw_ops.Einsum(
            inputs=[tf.constant(one, name="x"), tf.constant(other, name="y")], equation=equation, name="z"
        )
        lowered = fiji._without_einsum(graph.as_graph_def())
    assert "Einsum" not in {node.op for node in lowered.node}
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        tf.import_graph_def(lowered, name="")
        found = session.run("z:0")
    np.testing.assert_allclose(found, np.einsum(equation, one, other), rtol=1e-5)


def test_products_that_broadcast_are_refused_for_tf1_12():
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, (None, 3, 4), "x")
        tf.raw_ops.BatchMatMulV2(x=tf.ones((1, 2, 3)), y=x, name="product")
        with pytest.raises(InputError, match=r"product: .*\(1, 2, 3\) and \(\?, 3, 4\)"):
            fiji._with_first_batch_matmul(graph.as_graph_def())
