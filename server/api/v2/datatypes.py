"""The protocol's names of datatypes, and NumPy's.

ONNX's other types have no name there, and no model of a repository takes or gives texts: BYTES is what classes come in.
"""

from __future__ import annotations

DTYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
DATATYPES = {dtype: datatype for datatype, dtype in DTYPES.items()}
BYTES = "BYTES"
