"""Training on two workers: one worker is killed, and the training is resumed.

The two workers are processes on this machine that talk over the loopback, each with one
replica, as on two machines. Together they train a LeNet that votes over masked digits
and, in turn with it, a masker. They use an ordinary `fit` under
`tf.distribute.MultiWorkerMirroredStrategy`. Only the chief writes backups. With
`--kill-after 1` one worker is killed after the first epoch, and the other one ends with
an error. Then both start again and resume the training:

    python examples/train_on_two_workers.py --epochs 3 --kill-after 1

docs/distribution.md shows the output and explains the limits.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import keras_maskdef as kmd  # noqa: E402

WORKERS, ALONE = 2, 3  # 3: exit status if the other worker stopped


class OnWorkers(keras.Model):
    """Makes Keras 3's `fit` run on several workers, where plain Keras fails.

    Create this model outside the strategy's scope, and its network inside. Then Keras
    does not build the model from a first batch, which it cannot average over workers.
    The logs have an axis, because Keras averages them over workers along an axis.
    """

    def __init__(self, network):
        super().__init__()
        self.network = network

    def build(self, shape):
        self.network.build(shape)
        self.built = True

    def call(self, images, training=None):
        return self.network(images, training=training)

    def train_step(self, data):
        return with_an_axis(super().train_step(data))

    def test_step(self, data):
        return with_an_axis(super().test_step(data))


def with_an_axis(logs):
    return {name: tf.reshape(value, (1,)) for name, value in logs.items()}


class BackupByChief(keras.callbacks.BackupAndRestore):
    """All workers restore from one folder; only the chief writes to it."""

    def __init__(self, folder, chief):
        super().__init__(folder)
        self.chief = chief

    def on_epoch_end(self, epoch, logs=None):
        if self.chief:
            super().on_epoch_end(epoch, logs)
            return
        # The chief also saves metrics, and all workers must take part in reading them.
        with tempfile.TemporaryDirectory() as folder:
            self.model.save_weights(Path(folder, "not-kept.weights.h5"))

    def on_train_end(self, logs=None):
        if self.chief:
            super().on_train_end(logs)


class Tell(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        names = ("loss", "masker_loss", "masker_density")
        say(f"epoch {epoch + 1}:", *(f"{name} {logs[name]:.4f}" for name in names))


def say(*words):
    # One write per line: two threads print at once, and `print` writes "\n" apart.
    print(" ".join(map(str, words)) + "\n", end="", flush=True)


def work(options):
    """Runs on each machine; returns the exit status."""
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    chief = strategy.cluster_resolver.task_id == 0
    keras.utils.set_random_seed(0)
    images, labels, _ = kmd.datasets.sample(f"train[:{options.train}]")
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    data = data.shuffle(len(images), seed=0).batch(64, drop_remainder=True)
    with strategy.scope():
        mask = kmd.RandomGridMask(7, 0.75, sampling="partition")
        lenet = kmd.architectures.lenet()
        vote = kmd.VotingEnsemble(lenet, mask, votes=4, pooling="geometric")
        unet = kmd.architectures.attention_unet((28, 28, 1), widths=(4, 8))
        masker = kmd.SparseFeatureMasker(unet)
    model = OnWorkers(vote)
    backups = options.folder
    with strategy.scope():
        model.build((None, 28, 28, 1))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, jit_compile=False)
        callbacks = [
            BackupByChief(backups / "classifier", chief),
            kmd.AlternatingTraining(masker, images, backup_dir=backups / "masker"),
            Tell(),
        ]
        try:
            seen = images[: options.images]
            first, second = on_each(strategy, lambda: mask.sample(seen))
            differ = (first != second).any(axis=(1, 2)).sum()
            say(f"masks differ between the workers: {differ} of {len(seen)} images")
            model.fit(
                data,
                epochs=options.epochs,
                callbacks=callbacks,
                shuffle=False,
                verbose=0,
            )
            weights = on_each(strategy, lambda: flat(masker.trainable_weights))
            say("both workers hold the same masker:", np.array_equal(*weights))
        except tf.errors.OpError as error:
            say(f"{type(error).__name__}: {' '.join(error.message.split())}")
            say("Another worker has stopped. Restart all workers to resume.")
            return ALONE
    return 0


def on_each(strategy, function):
    """The results of a function on every worker, gathered on each of them."""

    @tf.function
    def gathered():
        context = tf.distribute.get_replica_context()
        value = tf.cast(function(), "float32")
        return context.all_gather(value[None], axis=0)

    return strategy.experimental_local_results(strategy.run(gathered))[0].numpy()


def flat(weights):
    return tf.concat([tf.reshape(w.value, (-1,)) for w in weights], axis=0)


def start(options, kill_after=0):
    """Runs the workers until they end; returns their exit statuses."""
    command = [sys.executable, __file__, "--folder", str(options.folder)]
    for name in ("epochs", "train", "images"):
        command += [f"--{name}", str(getattr(options, name))]
    addresses = [f"127.0.0.1:{port}" for port in free_ports()]
    workers = []
    for index in range(WORKERS):
        task = {"type": "worker", "index": index}
        cluster = {"cluster": {"worker": addresses}, "task": task}
        environment = {**os.environ, "TF_CONFIG": json.dumps(cluster)}
        pipe = {"stdout": subprocess.PIPE, "text": True}
        workers.append(subprocess.Popen(command, env=environment, **pipe))
    # The last worker is killed, not the chief, which runs the coordination service.
    readers = [
        threading.Thread(target=follow, args=(worker, index, kill_after * index))
        for index, worker in enumerate(workers)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return [worker.wait() for worker in workers]


def follow(worker, index, kill_after):
    """Prints the output of a worker; kills it after epoch `kill_after` if not 0."""
    for line in worker.stdout:
        say(f"worker {index}: {line.rstrip()}")
        if kill_after and line.startswith(f"epoch {kill_after}:"):
            worker.kill()


def free_ports():
    sockets = [socket.socket() for _ in range(WORKERS)]
    for held in sockets:
        held.bind(("127.0.0.1", 0))
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


def files(folder):
    paths = (path for path in folder.rglob("*") if path.is_file())
    return ", ".join(sorted(str(path.relative_to(folder)) for path in paths)) or "none"


def train(options):
    """Starts the workers, twice if one is to be killed; returns whether one failed."""
    if options.kill_after:
        say(f"two workers; one is killed after epoch {options.kill_after}")
        say("exit statuses:", *start(options, options.kill_after))
        say("files:", files(options.folder))
    say("two workers")
    statuses = start(options)
    say("exit statuses:", *statuses)
    say("files:", files(options.folder))
    return any(statuses)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--train", type=int, default=256, help="training images")
    parser.add_argument("--images", type=int, default=100, help="to compare masks on")
    parser.add_argument("--folder", type=Path, help="backups of all workers")
    parser.add_argument(
        "--kill-after", type=int, default=0, help="kill a worker after this epoch"
    )
    options = parser.parse_args()
    if "TF_CONFIG" in os.environ:
        sys.exit(work(options))
    if options.folder:
        sys.exit(train(options))
    with tempfile.TemporaryDirectory() as folder:
        options.folder = Path(folder)
        sys.exit(train(options))


if __name__ == "__main__":
    main()
