"""Run the zip of an export in TensorFlow 1, as Fiji's plugin does, with nothing of this project.

Arguments: the zip, an .npz of inputs with a batch axis, and the .npz of outputs to write under the same names. Prints
tags, signature and meta.json as JSON. Runs on Python 3.6.
"""

import json
import os
import sys
import tempfile
import zipfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf


def describe(info):
    return {"shape": [d.size for d in info.tensor_shape.dim], "dtype": tf.as_dtype(info.dtype).name}


def main(path, inputs, outputs):
    folder = tempfile.mkdtemp()
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    with tf.Session(graph=tf.Graph()) as session:
        meta_graph = tf.saved_model.loader.load(session, ["serve"], folder)
        signature = meta_graph.signature_def["serving_default"]
        ((key_in, source),) = signature.inputs.items()
        ((key_out, result),) = signature.outputs.items()
        with np.load(inputs) as file:
            found = {key: session.run(result.name, {source.name: file[key]}) for key in file.files}
    np.savez(outputs, **found)
    with open(os.path.join(folder, "meta.json")) as file:
        meta = json.load(file)
    report = {
        "tensorflow": tf.__version__,
        "tags": list(meta_graph.meta_info_def.tags),
        "inputs": {key_in: describe(source)},
        "outputs": {key_out: describe(result)},
        "meta": meta,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
