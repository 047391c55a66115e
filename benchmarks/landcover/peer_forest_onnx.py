"""Probabilities of a forest as onnxruntime computes them, on one thread, converted by skl2onnx."""

from __future__ import annotations

from typing import Any

import onnxruntime
from forest_contestant import FEATURES, Predict, contest
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType


def prepare(forest: Any) -> Predict:
    """Convert the forest: probabilities as a tensor."""
    given = [("x", FloatTensorType([None, FEATURES]))]
    converted = to_onnx(forest, initial_types=given, options={id(forest): {"zipmap": False}})
    how = onnxruntime.SessionOptions()
    how.intra_op_num_threads = how.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(converted.SerializeToString(), how, providers=["CPUExecutionProvider"])
    return lambda x: session.run(["probabilities"], {"x": x})[0]


if __name__ == "__main__":
    contest("onnxruntime", prepare, ("onnxruntime", "skl2onnx", "numpy"))
