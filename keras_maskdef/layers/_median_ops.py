"""The median of square windows in `keras.ops`, equal to `kernels.median`."""

from typing import Any

import numpy as np
from keras import ops

from keras_maskdef.kernels._median_networks import Network, Wires

_SMALLEST_PAIRED = 4  # the smallest window whose pairs of columns are merged once


class _TensorNetwork(Network):
    """A network whose steps are operations on tensors."""

    def low(self, a: str, b: str) -> str:
        return self._step("minimum", a, b)

    def high(self, a: str, b: str) -> str:
        return self._step("maximum", a, b)

    def run(self, values: dict[str, Any], results: Wires) -> list[Any]:
        """Computes `results` from the values of the inputs, with only the steps needed.

        A value is freed after its last use; windows of 7 have 300 values.
        """
        steps: list[tuple[str, str, str, str, set[str]]] = []
        needed = set(results)
        for (form, a, b), name in reversed(self._names.items()):
            if name in needed:
                steps.append((form, a, b, name, {a, b} - needed))
                needed |= {a, b}
        values = {name: value for name, value in values.items() if name in needed}
        for form, a, b, name, last in reversed(steps):
            values[name] = getattr(ops, form)(values[a], values[b])
            for used in last:
                del values[used]
        return [values[name] for name in results]


def median(images: Any, size: int) -> Any:
    """Returns the median of every window; see `keras_maskdef.kernels.median`.

    A column is sorted once for all windows that contain it, as in the CPU kernel: 18
    steps of min and max for 3x3. NaN counts as larger than infinity.

    Args:
        images: float tensor of shape (B, H, W, C); B, H and W may be unknown.
        size: side of the window in pixels, 2 to 7 and no larger than the images.

    Returns:
        A tensor of the shape and dtype of `images`.
    """
    # `minimum` propagates NaN, where sorting puts it last. Counting NaN takes as long
    # as the medians, so only batches that hold NaN count it.
    missing = ops.isnan(images)
    return ops.cond(
        ops.any(missing),
        lambda: _median_with_missing(images, missing, size),
        lambda: _median_of_numbers(images, size),
    )


def _median_with_missing(images: Any, missing: Any, size: int) -> Any:
    medians = _median_of_numbers(ops.where(missing, np.inf, images), size)
    counts = _window_sums(ops.cast(missing, images.dtype), size)
    return ops.where(counts < size * size - size * size // 2, medians, np.nan)


def _median_of_numbers(images: Any, size: int) -> Any:
    padded = _mirror(_mirror(images, 1, size), 2, size)
    rows = [_shifted(padded, 1, i, size) for i in range(size)]
    network, wires = _TensorNetwork(), _names("row", size)
    columns = network.run(dict(zip(wires, rows, strict=True)), network.sort(wires))
    if size < _SMALLEST_PAIRED:
        lists = [_window(columns, i, size - 1 - i) for i in range(size)]
    else:
        pairs = _merged(_window(columns, 0, 1), _window(columns, 1, 0))
        lists = [_window(pairs, i, size - 2 - i) for i in range(0, size - 1, 2)]
        if size % 2:
            lists.append(_window(columns, size - 1, 0))
    return _selected(lists, size)


def median_gradient(images: Any, medians: Any, upstream: Any, size: int) -> Any:
    """Routes the gradient of each median to the first equal pixel of its window.

    Args:
        images: float tensor of shape (B, H, W, C).
        medians: `median(images, size)`.
        upstream: Gradient with respect to `medians`.
        size: side of the window.

    Returns:
        The gradient with respect to `images`.
    """
    padded = _mirror(_mirror(images, 1, size), 2, size)
    searching = ops.ones_like(medians, dtype="bool")
    routed = ops.zeros_like(padded)
    for y in range(size):
        for x in range(size):
            window = _shifted(_shifted(padded, 1, y, size), 2, x, size)
            matches = ops.logical_and(searching, window == medians)
            searching = ops.logical_and(searching, ops.logical_not(matches))
            part = ops.where(matches, upstream, ops.zeros_like(upstream))
            around = ((0, 0), (y, size - 1 - y), (x, size - 1 - x), (0, 0))
            routed = routed + ops.pad(part, around)
    return _fold(_fold(routed, 1, size), 2, size)


def _window_sums(images: Any, size: int) -> Any:
    padded = _mirror(_mirror(images, 1, size), 2, size)
    columns = sum(_shifted(padded, 1, i, size) for i in range(size))
    return sum(_shifted(columns, 2, i, size) for i in range(size))


def _selected(lists: list[list[Any]], size: int) -> Any:
    network = _TensorNetwork()
    wires = [_names(f"list{i}_", len(values)) for i, values in enumerate(lists)]
    if size == 3:
        result = network.median_of_three_rows(wires)
    else:
        result = network.select(wires, size * size // 2)
    names = [name for group in wires for name in group]
    values = [value for group in lists for value in group]
    return network.run(dict(zip(names, values, strict=True)), [result])[0]


def _merged(left: list[Any], right: list[Any]) -> list[Any]:
    network = _TensorNetwork()
    a, b = _names("left", len(left)), _names("right", len(right))
    values = dict(zip(a + b, left + right, strict=True))
    return network.run(values, network.merge(a, b))


def _names(prefix: str, count: int) -> Wires:
    return [f"{prefix}{i}" for i in range(count)]


def _mirror(images: Any, axis: int, size: int) -> Any:
    """Mirrors an axis at both ends and repeats the pixel at the edge.

    `keras.ops.pad` cannot do this: on PyTorch "symmetric" repeats only that pixel.
    """
    before, after = size // 2, (size - 1) // 2
    parts = [ops.flip(_part(images, axis, 0, before), axis), images]
    if after:
        parts.append(ops.flip(_part(images, axis, -after, None), axis))
    return ops.concatenate(parts, axis)


def _fold(padded: Any, axis: int, size: int) -> Any:
    """Adds the values beyond the edges to the pixels they mirror, after `_mirror`."""
    before, after = size // 2, (size - 1) // 2
    top = ops.flip(_part(padded, axis, 0, before), axis)
    inner = _part(padded, axis, before, None)
    first = _part(inner, axis, 0, before) + top
    inner = ops.concatenate([first, _part(inner, axis, before, None)], axis)
    if not after:
        return inner
    bottom = ops.flip(_part(inner, axis, -after, None), axis)
    inner = _part(inner, axis, 0, -after)
    last = _part(inner, axis, -after, None) + bottom
    return ops.concatenate([_part(inner, axis, 0, -after), last], axis)


def _shifted(padded: Any, axis: int, by: int, size: int) -> Any:
    """Cuts a mirrored axis to its original length, from position `by` on."""
    return _part(padded, axis, by, by - (size - 1) or None)


def _window(planes: list[Any], first: int, last: int) -> list[Any]:
    return [_part(plane, 2, first, -last or None) for plane in planes]


def _part(images: Any, axis: int, first: int, last: int | None) -> Any:
    index = [slice(None)] * 4
    index[axis] = slice(first, last)
    return images[tuple(index)]
