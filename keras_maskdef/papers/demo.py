"""A small end-to-end demonstration of MAD."""

from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from keras_maskdef.attacks import craft
from keras_maskdef.core.image_data import ImageData
from keras_maskdef.core.progress import Start, silent
from keras_maskdef.evaluation.evaluate import evaluate
from keras_maskdef.evaluation.scenario import AttackSetting
from keras_maskdef.layers import VotingEnsemble
from keras_maskdef.papers.defences import Vote, partition
from keras_maskdef.papers.mad import LENET
from keras_maskdef.papers.network import Network
from keras_maskdef.papers.training import train
from keras_maskdef.reporting.pictures import plot_votes
from keras_maskdef.reporting.rows_picture import draw_rows
from keras_maskdef.results.report import Report

PLAIN, UNMASKED = "plain", "masked, no vote"
PAPER, PARTITION = "paper's vote", "partition vote"


@dataclass(frozen=True)
class Demo:
    """The result of the demo."""

    report: Report
    defences: dict[str, keras.Model]
    test: ImageData
    epsilon: float


def run_demo(
    train_data: ImageData,
    test: ImageData,
    epsilon: float = 0.1,
    epochs: int = 40,
    plain_epochs: int | None = None,
    seed: int = 0,
    network: Network = LENET,
    start: Start = silent,
) -> Demo:
    """Trains a plain and a masked classifier; attacks both, and two votes.

    Args:
        train_data: Training images.
        test: Test images; all of them are attacked.
        epsilon: Linf perturbation budget.
        epochs: Training epochs under masks.
        plain_epochs: Training epochs of the plain model, which learns faster; a quarter
            of `epochs` by default.
        seed: Integer for weights, masks, order and attacks.
        network: Architecture and masks.
        start: Starts a progress bar, see `keras_maskdef.core.progress`.

    Returns:
        The report, the four models, the test images and epsilon.
    """
    assert network.mask is not None
    masked = replace(network, epochs=epochs, seed=seed)
    quick = replace(masked, mask=None, epochs=plain_epochs or max(1, epochs // 4))
    plain = train(quick, train_data, start=start).model
    classifier = train(masked, train_data, start=start).model
    paper = Vote(masked, network.mask)
    ours = partition(masked, network.mask.cell_size)
    defences = {
        PLAIN: plain,
        UNMASKED: classifier,
        PAPER: paper.around(classifier),
        PARTITION: ours.around(classifier),
    }
    settings = [
        AttackSetting(name, "linf", epsilon)
        for name in ("fgsm", "bim", "pgd", "deepfool")
    ]
    report = evaluate(
        defences,
        test,
        settings,
        adaptive=[AttackSetting("pgd", "linf", epsilon)],
        eot_samples=(16,),
        seed=seed,
        start=start,
    )
    return Demo(report, defences, test, epsilon)


def save_demo(demo: Demo, output: Path) -> list[Path]:
    """Writes the report, its chart and a picture of votes; returns their paths."""
    output.mkdir(parents=True, exist_ok=True)
    paths = [output / name for name in ("report.json", "accuracy.png", "votes.png")]
    demo.report.save(paths[0])
    draw_rows(demo.report, paths[1])
    defence = demo.defences[PARTITION]
    assert isinstance(defence, VotingEnsemble)
    # The first image of each of eight classes, right or wrong.
    _, first = np.unique(demo.test.labels, return_index=True)
    images, labels = demo.test.images[first[:8]], demo.test.labels[first[:8]]
    plot_votes(
        defence,
        images,
        craft("pgd", defence.classifier, images, labels, demo.epsilon),
        labels,
        demo.test.class_names,
        paths[2],
    )
    return paths
