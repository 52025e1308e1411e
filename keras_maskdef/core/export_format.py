"""Whether a model is being exported, and into which format.

Keras traces a model anew for every format, through the same functions as for anything
else. What the traced layers can go by is who called them.
"""

import sys
from types import FrameType

import keras

from keras_maskdef.core.compat import EXPORTERS


def export_format() -> str | None:
    """The format that the layers called now are exported to, or None.

    It is `"litert"`, `"onnx"`, `"torch"` or `"saved_model"`. A `tf.function` of the
    user's own that was traced before it is saved cannot be told from any other.
    """
    if _only_compiled():
        return None
    found: set[str] = set()
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        found.add(frame.f_globals.get("__name__", ""))
        frame = frame.f_back
    for module, name in EXPORTERS.items():
        if any(f"{caller}.".startswith(f"{module}.") for caller in found):
            return name
    return None


def _only_compiled() -> bool:
    """Whether `torch.compile`, which cannot look at frames, traces for no export."""
    torch = sys.modules.get("torch")
    if torch is None or keras.backend.backend() != "torch":
        return False
    compiler = torch.compiler
    return compiler.is_dynamo_compiling() and not compiler.is_exporting()
