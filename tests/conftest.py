"""Stops early, with the remedy, where the package is not installed."""

import os

import pytest

# Read by TensorFlow when it is first imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

try:
    import keras_maskdef.kernels  # noqa: F401
except ModuleNotFoundError as error:
    pytest.exit(
        f"{error}. The kernels/ folder is mapped into the package by its "
        "installation: run `pip install -e '.[dev]'` first.",
        returncode=4,
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-gpu",
        action="store_true",
        help="fail, instead of skipping the gpu tests, where there is no CUDA device",
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    if not session.config.getoption("--require-gpu"):
        return
    try:
        from keras_maskdef.kernels import cuda
    except ImportError as error:
        pytest.exit(f"--require-gpu: numba-cuda is not here: {error}", returncode=1)
    reason = "it is simulated" if cuda.SIMULATED else cuda.why_unavailable()
    if reason is not None:
        pytest.exit(f"--require-gpu: no CUDA device: {reason}", returncode=1)


@pytest.fixture
def channels_first_convolutions():
    """Skips where TensorFlow has none: on CPUs for which it leaves oneDNN off."""
    import tensorflow as tf

    image, kernel = tf.zeros((1, 1, 3, 3)), tf.zeros((1, 1, 1, 1))
    try:
        tf.nn.conv2d(image, kernel, 1, "VALID", data_format="NCHW")
    except tf.errors.UnimplementedError:
        pytest.skip("needs TF_ENABLE_ONEDNN_OPTS=1 on this CPU")


@pytest.fixture(scope="session")
def classifier():
    """A LeNet that knows digits, masked or not, but not all of them."""
    import keras

    import keras_maskdef as kmd

    keras.utils.set_random_seed(0)
    model = kmd.architectures.lenet()
    ensemble = kmd.VotingEnsemble(model, kmd.RandomGridMask(7, 0.5))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ensemble.compile("adam", loss)
    images, labels, _ = kmd.datasets.sample("train[:2000]")
    ensemble.fit(images, labels, epochs=3, verbose=0)
    return model
