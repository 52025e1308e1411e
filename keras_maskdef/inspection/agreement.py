"""Checks that the parts of a defence fit each other and the images."""

from collections.abc import Sequence
from typing import Any

from keras_maskdef.core.compat import calls_of, graph_of
from keras_maskdef.core.image_shape import channels
from keras_maskdef.core.value_range import UNIT, ValueRange
from keras_maskdef.layers._ranged_filter import RangedFilter
from keras_maskdef.layers.image_filter import ImageFilter
from keras_maskdef.layers.random_grid_mask import RandomGridMask
from keras_maskdef.layers.sparse_feature_masker import SparseFeatureMasker
from keras_maskdef.layers.voting_ensemble import VotingEnsemble

_IN_A_FORMAT = (ImageFilter, SparseFeatureMasker, RandomGridMask)
_IN_A_RANGE = (RangedFilter, SparseFeatureMasker)
_COLORS = (1, 3)


def in_value_range(layers: Sequence[Any], value_range: ValueRange) -> list[Any]:
    """Returns the layers for images of this range, unchanged if independent of it.

    A filter holds no state and is copied, only once if it occurs several times. A
    masker cannot be copied, as it has learned from images of its range.
    """
    converted = {id(layer): _in_value_range(layer, value_range) for layer in layers}
    return [converted[id(layer)] for layer in layers]


def value_ranges(model: Any) -> dict[str, ValueRange]:
    """The value ranges that a model's layers state for its images, by layer name.

    Only layers that get the images unchanged count: those behind no layer but this
    library's, as `defend` places them. Another layer may change the range:
    `Rescaling(1 / 255)` and a filter on [0, 1] behind it are a defence on [0, 255].
    """
    if isinstance(model, VotingEnsemble):
        return value_ranges(model.classifier)
    graph = graph_of(model)
    if not hasattr(graph, "operations"):
        return {}
    as_they_are = {id(x) for x in graph.inputs}
    ranges: dict[str, ValueRange] = {}
    for layer in graph.layers:
        for node in calls_of(layer):
            if not any(id(x) in as_they_are for x in node.input_tensors):
                continue
            if not isinstance(layer, _IN_A_FORMAT):
                ranges |= value_ranges(layer)
                continue
            as_they_are |= {id(x) for x in node.output_tensors}
            if isinstance(layer, _IN_A_RANGE):
                ranges[layer.name] = layer.value_range
    return ranges


def _in_value_range(layer: Any, value_range: ValueRange) -> Any:
    if not isinstance(layer, _IN_A_RANGE) or layer.value_range == value_range:
        return layer
    if isinstance(layer, RangedFilter) and layer.value_range == UNIT:
        return type(layer).from_config(
            {**layer.get_config(), "value_range": value_range}
        )
    remedy = f"{type(layer).__name__}(..., value_range={value_range})"
    if isinstance(layer, SparseFeatureMasker):
        remedy = (
            f"SparseFeatureMasker(masker.network, value_range={value_range}), if it "
            "was trained on images in [0, 1]"
        )
    raise ValueError(
        f"`value_range` must be that of the layer {layer.name!r}: make it as {remedy}. "
        f"Received: value_range={value_range}, and {layer.value_range} of the layer"
    )


def check_value_ranges(layers: Sequence[Any]) -> None:
    """Raises where layers have different value ranges."""
    ranges = {x.name: x.value_range for x in layers if isinstance(x, _IN_A_RANGE)}
    if len({*ranges.values()}) > 1:
        raise ValueError(
            "`value_range` must be one for all parts of a defence. "
            f"Received: value_range={ranges}"
        )


def check_data_formats(layers: Sequence[Any], shape: tuple) -> None:
    """Raises where the formats differ, or take pixels of these images for channels."""
    formats = {x.name: x.data_format for x in layers if isinstance(x, _IN_A_FORMAT)}
    distinct = sorted({*formats.values()})
    if len(distinct) > 1:
        raise ValueError(
            "`data_format` must be one for all parts of a defence. "
            f"Received: data_format={formats}"
        )
    other = {"channels_last": "channels_first", "channels_first": "channels_last"}
    for data_format in distinct:
        if channels(shape, data_format) not in _COLORS and (
            channels(shape, other[data_format]) in _COLORS
        ):
            raise ValueError(
                f"`data_format` must be {other[data_format]!r} for the images of this "
                f"classifier. Received: images of shape {shape}, data_format={formats}"
            )
