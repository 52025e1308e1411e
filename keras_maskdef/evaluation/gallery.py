"""Examples of a run, to be drawn: images, masks, views and predictions."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_maskdef.backend.seeding import kept_seeds, reseed
from keras_maskdef.core.checked_files import AGAIN, MOST_ARRAYS, Arrays, damaged
from keras_maskdef.core.compat import graph_of, nodes_of
from keras_maskdef.core.value_range import to_unit
from keras_maskdef.evaluation.columns import Column
from keras_maskdef.evaluation.outcomes import kept_examples
from keras_maskdef.evaluation.run_store import Stored
from keras_maskdef.evaluation.scenario import Scenario
from keras_maskdef.layers import SparseFeatureMasker, VotingEnsemble
from keras_maskdef.layers.image_filter import ImageFilter
from keras_maskdef.results.report import Report

GALLERY = "gallery.npz"
# Kept in [0, 1] with their channels last, to be drawn.
_IMAGES = {"images", "adversarial", "filtered", "views"}
# Of these the images are the second axis.
_BY_VIEW = {"views", "hidden", "ballots"}


def save_gallery(
    stored: Stored,
    columns: Sequence[Column],
    images: np.ndarray,
    labels: np.ndarray,
    report: Report,
) -> None:
    """Keeps examples of the last adaptive attack, and what each defence made of them.

    Only the part of a run that has the first images does.
    """
    last = [row for row in report.rows if row.threat_model == "adaptive"][-1]
    scenario = next(
        s
        for s in stored.plan
        if (s.threat_model, s.attack, s.norm, s.library)
        == ("adaptive", last.attack, last.norm, last.library)
        and last.samples in (s.samples, None)
        and last.epsilon in s.epsilons
    )
    arrays: Arrays = {"title": np.array(last.title)}
    for number, column in enumerate(columns):
        adversarial = _examples(stored, scenario, column.name, images)
        if adversarial is None:
            return
        count = len(adversarial)
        arrays["images"], arrays["labels"] = images[:count], labels[:count]
        with kept_seeds(column.models):
            reseed([column.defence.predict], stored.seed)
            shown = _shown(column, arrays["images"], adversarial)
        arrays.update({f"{number}/{name}": array for name, array in shown.items()})
    for name in arrays:
        kind = name.rpartition("/")[-1]
        if kind in _IMAGES:
            arrays[name] = to_unit(arrays[name], stored.value_range)
        if kind in (*_IMAGES, "mask"):
            arrays[name] = _channels_last(arrays[name])
    stored.store.write_arrays(GALLERY, _with_room(arrays))


def _examples(
    stored: Stored, scenario: Scenario, column: str, images: np.ndarray
) -> np.ndarray | None:
    """The first images under the attack with its largest epsilon."""
    examples = stored.examples(scenario, column)
    if examples is None:
        return None
    first = images[: stored.config["batch_size"]]
    # All columns keep the same number of examples.
    shape = (kept_examples(first, len(scenario.epsilons)), *images.shape[1:])
    if examples.shape[1:] != shape:
        path = stored.store.outcome(stored.key(scenario, column, 0))
        found = f"'examples' of shape {examples.shape[1:]}"
        raise damaged(path, f"{found}, where the images are of {shape}", AGAIN)
    return examples[-1]


def _with_room(arrays: Arrays) -> Arrays:
    """As many of the images as a file may hold: of small ones all."""
    count = len(arrays["images"])
    room = MOST_ARRAYS - (1 << 20)  # for what is in the file besides
    kept = max(1, count * room // sum(array.nbytes for array in arrays.values()))
    if kept >= count:
        return arrays
    return {
        name: array[:, :kept]
        if name.rpartition("/")[-1] in _BY_VIEW
        else array[:kept]
        if array.ndim
        else array
        for name, array in arrays.items()
    }


def _shown(column: Column, images: np.ndarray, adversarial: np.ndarray) -> Arrays:
    defence = column.defence
    shown = {
        "adversarial": adversarial,
        "prediction": defence.labels(adversarial),
        "clean_prediction": defence.labels(images),
    }
    seen = adversarial
    parts = defence.vote
    front = defence.predict if parts is None else parts[0]
    if isinstance(front, keras.Model):
        inner = _inner(front, adversarial)
        shown |= inner
        seen = inner.get("filtered", seen)
    if parts is not None:
        shown |= _views(parts[1], seen)
    return shown


def _channels_last(images: np.ndarray) -> np.ndarray:
    colors = (1, 3)
    first = images.shape[-3] in colors and images.shape[-1] not in colors
    return np.moveaxis(images, -3, -1) if first else images


def _inner(model: keras.Model, images: np.ndarray) -> Arrays:
    """The learned mask, and what reaches the classifier."""
    graph = graph_of(model)
    kinds = (SparseFeatureMasker, ImageFilter)
    nodes = [node for node in nodes_of(graph) if isinstance(node.operation, kinds)]
    if not nodes:
        return {}
    maskers = [n for n in nodes if isinstance(n.operation, SparseFeatureMasker)]
    taken = {"filtered": nodes[-1].outputs[0]}
    if maskers:
        taken["seen"] = maskers[-1].input_tensors[0]
    shown = keras.Model(graph.inputs[0], taken).predict(images, verbose=0)
    if maskers:
        mask = maskers[-1].operation.mask(shown.pop("seen"))
        shown["mask"] = keras.ops.convert_to_numpy(mask)
    return dict(shown)


def _views(vote: VotingEnsemble, images: np.ndarray) -> Arrays:
    if vote.mask.data_format != "channels_last":
        return {}
    keep = vote.mask.sample(images, views=vote.votes)
    logits = keras.ops.convert_to_numpy(vote.logits_of_views(images, keep))
    ones = np.ones((*images.shape[:3], 1), "float32")
    plain = {**vote.mask.get_config(), "fill_value": 0.0}
    visible = type(vote.mask).from_config(plain).apply(ones, keep)
    return {
        "views": keras.ops.convert_to_numpy(vote.mask.apply(images, keep)),
        "hidden": keras.ops.convert_to_numpy(visible)[..., 0] == 0,
        "ballots": logits.argmax(-1),
    }
