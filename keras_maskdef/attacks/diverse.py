"""Momentum with diverse inputs, a transfer attack."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_maskdef.attacks.adapters.cleverhans import STEP_SIZE, STEPS, iterate
from keras_maskdef.attacks.attack import Run
from keras_maskdef.attacks.attack_info import AttackInfo
from keras_maskdef.attacks.target import Target
from keras_maskdef.core.extras import require

SMALLEST = 0.9
ATTACKS = (
    AttackInfo(
        "diverse",
        "linf",
        "keras_maskdef",
        "iterative",
        options=("steps", "step_size", "probability"),
        # cleverhans has its momentum method for TensorFlow only.
        backends=("tensorflow",),
    ),
)


def make(
    info: AttackInfo,
    target: Target,
    steps: int = STEPS,
    step_size: float = STEP_SIZE,
    probability: float = 0.5,
) -> Run:
    """Cleverhans' momentum iterative method on randomly resized and padded images.

    With the given probability, a step takes its gradient through shrunk images. Their
    side is random, at least 0.9 times the original (below 10 pixels, one less); zeros,
    placed at random, pad them to the original. The paper enlarges images for networks
    that take any size (299 to at most 330); here images are shrunk for a network of one
    size, as in later libraries. Decay 1.0, steps as for MIM; the SFM paper gives
    neither probability nor sides.

    Args:
        info: The registry's entry.
        target: The model under attack.
        steps: Number of steps.
        step_size: Size of a step, on the scale of the images.
        probability: Probability that a step resizes its inputs, the whole batch.

    Returns:
        The attack on one batch.

    Raises:
        ImportError: If cleverhans is not installed.

    Example:

    >>> import keras
    >>> from keras_maskdef.attacks import craft
    >>> classifier = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    >>> images, labels = np.full((2, 10, 10, 1), 0.5), np.array([0, 1])
    >>> craft("diverse", classifier, images, labels, 0.1, steps=2).shape
    (2, 10, 10, 1)

    Reference:
        Xie et al.: Improving Transferability of Adversarial Examples with Input
        Diversity, CVPR 2019, section 3; probability 0.5 in its section 4.
    """
    tf = require("tensorflow", "attacks")
    # It has its own state: a traced function keeps the global seed of its trace.
    generator = tf.random.Generator.from_seed(0)

    vary = varied(generator, probability)

    def through(images: Any, gradient: Callable[[Any], Any]) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(images)
            inputs = vary(images)
        return tape.gradient(inputs, images, gradient(inputs))

    momentum = iterate("mim", target, steps, step_size, through)

    def run(
        images: np.ndarray, labels: np.ndarray, epsilon: float, seed: int
    ) -> np.ndarray:
        generator.reset_from_seed(seed)
        return momentum(images, labels, epsilon, seed)

    return run


def varied(generator: Any, probability: float) -> Callable[[Any], Any]:
    """Returns a function that sometimes resizes and pads a batch of images.

    Args:
        generator: A `tf.random.Generator`.
        probability: Probability that a batch is resized; else it is returned as it is.

    Returns:
        A function from a tensor `(n, height, width, channels)` of static height and
        width to one of the same shape.

    Raises:
        ImportError: If TensorFlow is not installed.

    Example:

    >>> import tensorflow as tf
    >>> generator = tf.random.Generator.from_seed(0)
    >>> images = tf.ones((1, 20, 20, 1))
    >>> bool(tf.reduce_all(varied(generator, 0.0)(images) == images))
    True
    >>> bool(tf.reduce_all(varied(generator, 1.0)(images) == images))
    False
    """
    tf = require("tensorflow", "attacks")

    def draw(lowest: Any, highest: Any) -> Any:
        return generator.uniform((), lowest, highest + 1, "int32")

    def resize_and_pad(images: Any) -> Any:
        height, width = images.shape[1:3]
        new_height = draw(min(math.ceil(SMALLEST * height), height - 1), height - 1)
        new_width = tf.cast(tf.math.ceil(new_height * width / height), "int32")
        small = tf.image.resize(images, (new_height, new_width), "nearest")
        top, left = draw(0, height - new_height), draw(0, width - new_width)
        padded = tf.image.pad_to_bounding_box(small, top, left, height, width)
        return tf.ensure_shape(padded, images.shape)

    def vary(images: Any) -> Any:
        chosen = generator.uniform(()) < probability
        return tf.where(chosen, resize_and_pad(images), images)

    return vary
