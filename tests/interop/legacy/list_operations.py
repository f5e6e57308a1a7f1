"""Print, as JSON, the attributes of operations in a TensorFlow 1 runtime's registry, in the form of runtimes.json.

Argument: names of operations, separated by commas. Runs on Python 3.6.
"""

import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from tensorflow.core.framework import op_def_pb2, types_pb2
from tensorflow.python import pywrap_tensorflow

TYPES = ("DT_FLOAT", "DT_INT32", "DT_INT64", "DT_BOOL")


def allowed(attribute):
    values = attribute.allowed_values.list
    if values.type:
        names = [types_pb2.DataType.Name(number) for number in values.type]
        return [name[3:].lower() for name in sorted(names) if name in TYPES]
    return [value.decode() for value in values.s] or None


def main(names):
    registry = op_def_pb2.OpList()
    registry.ParseFromString(pywrap_tensorflow.TF_GetBuffer(pywrap_tensorflow.TF_GetAllOpList()))
    found = {op.name: {a.name: allowed(a) for a in op.attr} for op in registry.op}
    print(json.dumps({name: found.get(name) for name in names.split(",")}, sort_keys=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
