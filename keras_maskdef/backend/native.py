"""The only bridge from Keras layers to the kernels.

`call_kernel` runs a kernel on the tensors of any backend. `pays` tells where that is
the fastest way. `with_gradient` gives a function the gradient it should have, however
its values are computed.
"""

import math
import uuid
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_maskdef import kernels
from keras_maskdef.core.compat import gradients_by_name, is_compiled
from keras_maskdef.core.export_format import export_format


@dataclass(frozen=True)
class Kernel:
    """A function of `keras_maskdef.kernels` and its parameters.

    Called with a float32 NumPy array of shape (..., H, W, C), it returns another.
    """

    name: str
    parameters: tuple[float, ...]

    def __call__(self, images: Any) -> np.ndarray:
        images = np.asarray(images)
        batch = images.reshape(math.prod(images.shape[:-3]), *images.shape[-3:])
        filtered = getattr(kernels, self.name)(batch, *self.parameters)
        return filtered.reshape(images.shape)


def call_kernel(kernel: Kernel, twin: Callable[[Any], Any], images: Any) -> Any:
    """Runs a kernel on the host, eagerly or from a graph, without a gradient.

    Args:
        kernel: What to run.
        twin: The same function in `keras.ops`, for exported models, whose process
            cannot call back here. A graph of TensorFlow holds both.
        images: float32 tensor of shape (B, H, W, C).

    Returns:
        A tensor of the shape and dtype of `images`, on their device.

    Raises:
        ValueError: While TensorFlow traces for XLA, which cannot call back.
    """
    if keras.backend.backend() == "tensorflow":
        return _call_from_tensorflow(kernel, twin, images)
    if export_format() is not None:
        return twin(images)
    if keras.backend.backend() == "jax":
        return _call_from_jax(kernel, images)
    return _torch_operator()(images, kernel.name, [float(p) for p in kernel.parameters])


def call_on_host(function: Callable[[np.ndarray], np.ndarray], images: Any) -> Any:
    """Runs a function of NumPy arrays on the host, eagerly or from a graph.

    Args:
        function: Function from an array to another of its shape and dtype.
        images: Tensor.

    Returns:
        A tensor of the shape and dtype of `images`, without a gradient.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.executing_eagerly():
            outputs = tf.numpy_function(function, [images], images.dtype)
        else:
            token, graph = _registered(function)
            (outputs,) = tf.raw_ops.PyFunc(
                input=[images], token=token, Tout=[images.dtype]
            )
            outputs.op.host_function = graph
        return tf.ensure_shape(outputs, images.shape)
    if keras.backend.backend() == "jax":
        return _call_from_jax(lambda x: function(np.asarray(x)), images)
    return ops.convert_to_tensor(function(ops.convert_to_numpy(images)))


def _registered(function: Callable[[np.ndarray], np.ndarray]) -> tuple[str, Any]:
    """TensorFlow's token of a function, and the graph that holds the function.

    `tf.numpy_function` alone gives it to the outermost graph, for the life of the
    process. A method of a model keeps the model, and each trace of a kernel would leave
    a wrapper.
    """
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        output = tf.numpy_function(function, [tf.constant(0.0)], tf.float32)
    return output.op.get_attr("token").decode(), graph


def pays() -> bool:
    """Whether callbacks are possible here and faster than the backend's operations.

    They are on TensorFlow without a GPU, outside XLA; but not while a model is
    exported, whose graph would hold a callback without use.
    """
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    on_cpu = all(d.device_type == "CPU" for d in tf.config.get_visible_devices())
    return on_cpu and not is_compiled() and export_format() is None


def with_gradient(
    function: Callable[[Any], Any], gradient: Callable[[Any, Any, Any], Any], x: Any
) -> Any:
    """Returns `function(x)` with `gradient(x, function(x), upstream)` as its gradient.

    Keras uses `tf.custom_gradient`, `jax.custom_gradient` (a `custom_vjp`) or a
    `torch.autograd.Function`. The variables that `function` reads get no gradient.
    """

    @ops.custom_gradient
    def differentiable(x: Any) -> Any:
        y = function(x)

        def backward(*arguments: Any, upstream: Any = None, variables: Any = ()) -> Any:
            if upstream is None:
                (upstream,) = arguments
            by_x = gradient(x, y, upstream)
            return (by_x, [None] * len(variables)) if variables else by_x

        return y, backward

    if keras.backend.backend() == "tensorflow":
        return _left_to_its_graph(differentiable, x)
    return differentiable(x)


def _left_to_its_graph(differentiable: Callable[[Any], Any], x: Any) -> Any:
    """Calls a function whose custom gradient lives only as long as its graph.

    TensorFlow registers the gradients of traced functions for the life of the process,
    and each holds its graph: 0.3 MiB for a LeNet. Here the operation holds its
    gradient, and the registry holds it weakly, until the operation is gone.
    """
    import tensorflow as tf

    if tf.executing_eagerly():
        return differentiable(x)
    # A tensor of this graph: a branch of `tf.cond` cannot compute gradients by tensors
    # that it captures.
    y = differentiable(tf.identity(x))
    name = y.op.get_attr("_gradient_op_type").decode()
    entries = gradients_by_name()
    y.op.custom_gradient = entries[name]["type"]
    operation: Any = weakref.ref(y.op)
    entries[name]["type"] = lambda _, *upstream: operation().custom_gradient(
        None, *upstream
    )
    weakref.finalize(y.op, entries.pop, name, None).atexit = False
    return y


def _call_from_tensorflow(
    kernel: Kernel, twin: Callable[[Any], Any], images: Any
) -> Any:
    import tensorflow as tf

    if tf.executing_eagerly():
        # Unlike `images.numpy()`, a view.
        return tf.convert_to_tensor(kernel(memoryview(images)))
    if is_compiled():
        raise ValueError(
            "A native kernel cannot be part of a function that XLA compiles. Expected "
            '`implementation` "auto" or "ops". Received: implementation="native"'
        )

    # The gradient is `with_gradient`'s. An outer tape would differentiate both branches
    # beforehand, which took 7 s a trace for the 3x3 median.
    images = tf.stop_gradient(images)

    def native() -> Any:
        token, _ = _kept(kernel)
        (filtered,) = tf.raw_ops.PyFuncStateless(
            input=[images], token=token, Tout=[images.dtype]
        )
        return tf.ensure_shape(filtered, images.shape)

    filtered = tf.cond(_in_this_process(), native, lambda: twin(images))
    return tf.ensure_shape(filtered, images.shape)


@cache
def _kept(kernel: Kernel) -> tuple[str, Any]:
    return _registered(kernel)


def _in_this_process() -> Any:
    """A boolean tensor, true where the graph runs in the process that traced it.

    A SavedModel keeps the name of a callback and not its body, and any function that
    was ever traced can end up in one. This process has a variable with a unique name;
    in another process that loads the graph, that variable is not initialized. (Names of
    callbacks, such as "pyfunc_3", are no test: other processes have the same names.)
    """
    import tensorflow as tf

    with tf.device("CPU:0"):
        variable = tf.raw_ops.VarHandleOp(
            dtype=tf.bool, shape=[], shared_name=_mark_of_this_process()
        )
        return tf.raw_ops.VarIsInitializedOp(resource=variable)


@cache
def _mark_of_this_process() -> str:
    import tensorflow as tf

    name = f"keras_maskdef_{uuid.uuid4().hex}"
    with tf.init_scope(), tf.device("CPU:0"):
        variable = tf.raw_ops.VarHandleOp(dtype=tf.bool, shape=[], shared_name=name)
        tf.raw_ops.AssignVariableOp(resource=variable, value=True)
    return name


def _call_from_jax(kernel: Callable[[Any], Any], images: Any) -> Any:
    import jax

    result = jax.ShapeDtypeStruct(images.shape, images.dtype)
    return jax.pure_callback(kernel, result, images, vmap_method="expand_dims")


@cache
def _torch_operator() -> Callable[..., Any]:
    import torch

    def kernel(
        images: torch.Tensor, name: str, parameters: list[float]
    ) -> torch.Tensor:
        numbers = tuple(int(p) if p.is_integer() else p for p in parameters)
        filtered = Kernel(name, numbers)(images.detach().cpu().numpy())
        return torch.from_numpy(filtered).to(images.device)

    operator = torch.library.custom_op("keras_maskdef::kernel", kernel, mutates_args=())
    operator.register_fake(
        lambda images, name, parameters: torch.empty_like(
            images, memory_format=torch.contiguous_format
        )
    )
    return operator
