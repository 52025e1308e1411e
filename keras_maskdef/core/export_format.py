"""Detects whether a model is being exported, and to which format.

Keras traces a model anew for every format, with the same functions as otherwise. Only
the call stack tells the traced layers about the export.
"""

import sys
from types import FrameType

import keras

from keras_maskdef.core.compat import EXPORTERS


def export_format() -> str | None:
    """The format of the export in progress, or None.

    It is `"litert"`, `"onnx"`, `"torch"` or `"saved_model"`. The export of a user's
    `tf.function` that was traced before it is saved cannot be detected.
    """
    if _only_compiled():
        return None
    modules: set[str] = set()
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        modules.add(frame.f_globals.get("__name__", ""))
        frame = frame.f_back
    for module, name in EXPORTERS.items():
        if any(f"{caller}.".startswith(f"{module}.") for caller in modules):
            return name
    return None


def _only_compiled() -> bool:
    """Whether `torch.compile`, which cannot inspect frames, traces without export."""
    torch = sys.modules.get("torch")
    if torch is None or keras.backend.backend() != "torch":
        return False
    compiler = torch.compiler
    return compiler.is_dynamo_compiling() and not compiler.is_exporting()
