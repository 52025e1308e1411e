"""What a training on several devices or machines asks for.

Keras' own part in it differs: `tf.distribute` runs a step once on each replica,
PyTorch's DistributedDataParallel runs it in processes of their own, and JAX runs one
step on arrays that are shared out, where no replica can be told from another.
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

    Its state is a variable, and replicas hold the same one: Keras' own draws the same
    numbers on all of them. The first replica draws what a single process would.
    """

    def _pair(self) -> tuple[Any, Any]:
        (pair, key), number = super()._pair(), replica()
        if number is None:
            return pair, key
        apart = keras.ops.stack([number, keras.ops.zeros_like(number)])
        return pair + keras.ops.cast(apart, pair.dtype) * STRIDE, key


def replica() -> Any:
    """The number of the replica that is running, or None where there is but one."""
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
    """The `tf.distribute.Strategy` a model trains under, if that has many replicas."""
    strategy = getattr(model, "distribute_strategy", None)
    many = getattr(strategy, "num_replicas_in_sync", 1) > 1
    return strategy if many else None


def part_of_loss(loss: Any) -> Any:
    """What a replica adds to a loss that is the mean over replicas, as Keras' are."""
    return loss / _in_sync()


def share(variables: Sequence[keras.Variable], strategy: Any) -> Callable[[], None]:
    """Returns a function that gives variables their mean over the replicas.

    For those that replicas change on their own, such as the running statistics of
    `BatchNormalization`; Keras 3.15 never brings them together.
    """
    if strategy is None or not variables:
        return lambda: None
    import tensorflow as tf

    def on_replica() -> None:
        context = tf.distribute.get_replica_context()
        own = [tf.identity(variable.value) for variable in variables]
        means = context.all_reduce(tf.distribute.ReduceOp.MEAN, own)
        for variable, mean in zip(variables, means, strict=True):
            variable.assign(mean)

    return tf.function(lambda: strategy.run(on_replica))


def works_with_others() -> bool:
    """Whether the replicas of the strategy in force are on several machines."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def sharing(strategy: Any) -> int:
    """Among how many replicas, or devices of JAX, `fit` shares out a batch."""
    if strategy is not None:
        return strategy.num_replicas_in_sync
    distribution = keras.distribution.distribution()
    if distribution is None or keras.backend.backend() != "jax":
        return 1
    import jax

    mesh = distribution.device_mesh
    devices = mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)]
    # A process has batches of its own, for its own devices.
    return max(1, devices // jax.process_count())


def scope(strategy: Any) -> AbstractContextManager:
    """Where variables of a strategy are made; anywhere, without one."""
    return nullcontext() if strategy is None else strategy.scope()


def writes_files(strategy: Any) -> bool:
    """Whether this process is the one of a training that writes checkpoints."""
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
