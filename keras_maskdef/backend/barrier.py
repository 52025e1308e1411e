"""A barrier for the processes of a training."""

from typing import Any

import keras


def wait_for_all(strategy: Any) -> None:
    """Returns when all processes have called it; at once if there is only one."""
    if strategy is not None:
        _sum_over_replicas(strategy)
    elif keras.backend.backend() == "jax":
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices("keras_maskdef.callbacks")


def _sum_over_replicas(strategy: Any) -> None:
    import tensorflow as tf

    def on_replica() -> Any:
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.ones(()))

    total = tf.function(lambda: strategy.run(on_replica))()
    for value in strategy.experimental_local_results(total):
        value.numpy()
