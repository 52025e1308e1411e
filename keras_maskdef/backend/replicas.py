"""Training on several devices or machines.

The backends differ: `tf.distribute` runs a step once on each replica, PyTorch's
DistributedDataParallel runs it in separate processes, and JAX runs one step on sharded
arrays, where replicas cannot be told apart.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras

from keras_maskdef.backend.seed_generators import SharedSeedGenerator

# Prime to 2^32 and to 2^31 - 2, by which PyTorch and TensorFlow reduce seeds.
STRIDE = 1_327_217_909


class ReplicaSeedGenerator(SharedSeedGenerator):
    """A `SharedSeedGenerator` that draws other numbers on each replica.

    Its state is a variable that is the same on all replicas, so Keras' own generator
    draws the same numbers on all. The first replica draws what a single process would.
    """

    def _pair(self) -> tuple[Any, Any]:
        (pair, key), number = super()._pair(), replica()
        if number is None:
            return pair, key
        apart = keras.ops.stack([number, keras.ops.zeros_like(number)])
        return pair + keras.ops.cast(apart, pair.dtype) * STRIDE, key


def replica() -> Any:
    """The number of this replica; None if it is the only one, or PyTorch's first."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            return context.replica_id_in_sync_group
    if keras.backend.backend() == "torch":
        from torch import distributed

        if distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank() or None
    return None


def strategy_of(model: keras.Model) -> Any:
    """The `tf.distribute.Strategy` of a model's training, if it has many replicas."""
    strategy = getattr(model, "distribute_strategy", None)
    many = getattr(strategy, "num_replicas_in_sync", 1) > 1
    return strategy if many else None


def part_of_loss(loss: Any) -> Any:
    """What a replica adds to a loss that is the mean over replicas, as in Keras."""
    return loss / _in_sync()


def share(variables: Sequence[keras.Variable], strategy: Any) -> Callable[[], None]:
    """Returns a function that gives variables their mean over the replicas.

    For variables that replicas change separately, such as the running statistics of
    `BatchNormalization`; Keras 3.15 never merges them.
    """
    if strategy is None or not variables:
        return lambda: None
    import tensorflow as tf

    def on_replica() -> None:
        context = tf.distribute.get_replica_context()
        values = [tf.identity(variable.value) for variable in variables]
        means = context.all_reduce(tf.distribute.ReduceOp.MEAN, values)
        for variable, mean in zip(variables, means, strict=True):
            variable.assign(mean)

    return tf.function(lambda: strategy.run(on_replica))


def works_with_others() -> bool:
    """Whether the replicas of the current strategy are on several machines."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def sharing(strategy: Any) -> int:
    """How many replicas, or devices of JAX, share a batch of `fit`."""
    if strategy is not None:
        return strategy.num_replicas_in_sync
    distribution = keras.distribution.distribution()
    if distribution is None or keras.backend.backend() != "jax":
        return 1
    import jax

    mesh = distribution.device_mesh
    devices = mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)]
    # Each process has its own batches, for its own devices.
    return max(1, devices // jax.process_count())


def scope(strategy: Any) -> AbstractContextManager:
    """The scope to create variables of a strategy in; an empty one without it."""
    return nullcontext() if strategy is None else strategy.scope()


def writes_files(strategy: Any) -> bool:
    """Whether this process writes the checkpoints of a training."""
    if strategy is not None:
        return strategy.extended.should_checkpoint
    if keras.backend.backend() == "jax":
        import jax

        return jax.process_index() == 0
    return True


def _in_sync() -> int:
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync
