"""The work of `certify`, kept in a folder and resumed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_maskdef._version import __version__
from keras_maskdef.certification.answers import Answers
from keras_maskdef.certification.exact import ABSTAINS, Proof
from keras_maskdef.certification.methods import Answered, Method
from keras_maskdef.certification.parts import Parts
from keras_maskdef.certification.threats import Attack
from keras_maskdef.core import fingerprint as fingerprint
from keras_maskdef.core.checked_files import Arrays, Form, check_arrays
from keras_maskdef.core.progress import Start
from keras_maskdef.core.run_folder import RunFolder
from keras_maskdef.engines import Engine
from keras_maskdef.engines.shipping import check_same

# Views of a piece of work. A killed run loses one: at most half a minute of LeNet.
_PIECE = 1 << 19
# Images of a piece: few, so that many workers get some. The last batch of a piece is
# not full: digits under 1,820 masks take a tenth more views than in pieces of 250.
_IMAGES = 40
_MOST_CLASSES = 10**6


@dataclass(frozen=True)
class Numbers:
    """The settings of a run, besides its models and images."""

    method: str
    alpha: float | None
    samples: int
    selection: int
    seed: int


@dataclass(frozen=True, eq=False)
class Piece:
    """Some images, as the mask sees them.

    Args:
        first: Index of the first image.
        images: `(n, ...)`.
    """

    first: int
    images: np.ndarray


@dataclass(frozen=True)
class Prover:
    """Certifies pieces of work, in any process.

    Args:
        method: How images are certified.
        answers: Predicts the masked views.
        few: Some images, as the mask sees them.
    """

    method: Method
    answers: Answers
    few: np.ndarray

    def __reduce__(self) -> tuple[Any, ...]:
        outputs = self.answers.outputs(self.few)
        return _elsewhere, (outputs, self.method, self.answers, self.few)

    def __call__(self, piece: Piece) -> Iterator[Arrays]:
        do = self._in_portions if self.method.in_portions else self._together
        at_once = self.answers.images_at_once(self.method.count)
        done = [
            do(piece.first + start, piece.images[start : start + at_once])
            for start in range(0, len(piece.images), at_once)
        ]
        proofs = [proof for proved, _ in done for proof in proved]
        yield {
            "predicted": np.concatenate([p.predicted for p in proofs], axis=1),
            "certified": np.concatenate([p.certified for p in proofs], axis=1),
            "views": np.concatenate([views for _, views in done]),
        }

    def _together(
        self, first: int, images: np.ndarray
    ) -> tuple[list[Proof], np.ndarray]:
        """Certifies several images, whose views share batches."""
        masks = [
            one for n in range(len(images)) for one in self.method.masks(first + n)
        ]
        answers = self.answers(images, [drawn.hidden for drawn in masks])
        pairs = zip(masks, answers, strict=True)
        proofs = [self.method.judge([pair]) for pair in pairs]
        return proofs, self.answers.views

    def _in_portions(
        self, first: int, images: np.ndarray
    ) -> tuple[list[Proof], np.ndarray]:
        """Certifies one image after another, one portion of its masks at a time."""
        views = np.zeros(len(images), int)

        def answered(n: int) -> Iterator[Answered]:
            for masks in self.method.masks(first + n):
                (answers,) = self.answers(images[n : n + 1], [masks.hidden])
                views[n] += self.answers.views.sum()
                yield masks, answers

        return [self.method.judge(answered(n)) for n in range(len(images))], views


def _elsewhere(outputs: np.ndarray, *parts: Any) -> Prover:
    """Rebuilds a prover in another process and checks that its classifier is equal."""
    prover = Prover(*parts)
    check_same(outputs, prover.answers.outputs(prover.few))
    return prover


def work(
    prover: Prover,
    images: np.ndarray,
    store: RunFolder,
    engine: Engine,
    start: Start,
) -> tuple[Proof, np.ndarray]:
    """Certifies all images, piece by piece; skips pieces that are done."""
    size = max(1, min(_IMAGES, _PIECE // prover.method.count))
    firsts = range(0, len(images), size)
    advance = start("certify", len(images))

    def pieces() -> Iterator[Piece]:
        for first in firsts:
            piece = Piece(first, images[first : first + size])
            if _key(first) in store:
                advance(len(piece.images))
            else:
                yield piece

    with engine.started(prover) as do:
        for piece, arrays in do(pieces()):
            store.save(_key(piece.first), arrays)
            advance(len(piece.images))
    parts = [_proven(store, first, min(size, len(images) - first)) for first in firsts]
    whole = {
        name: np.concatenate([p[name] for p in parts], axis=-1) for name in parts[0]
    }
    return Proof(whole["predicted"], whole["certified"]), whole["views"]


def _proven(store: RunFolder, first: int, images: int) -> Arrays:
    """Reads a piece of work that was kept."""
    attacks = len(store.config["attacks"])
    forms = {
        "predicted": Form("iu", (attacks, images), ABSTAINS, _MOST_CLASSES),
        "certified": Form("b", (attacks, images)),
        "views": Form("iu", (images,), 1, np.inf),
    }
    key = _key(first)
    return check_arrays(store.outcome(key), store.load(key), forms)


def _key(first: int) -> str:
    return f"images-{first:06d}"


def config_of(
    numbers: Numbers,
    defence: keras.Model,
    parts: Parts,
    images: np.ndarray,
    attacks: Sequence[Attack],
) -> dict[str, Any]:
    """All settings that the proofs depend on."""
    mask = parts.mask
    config: dict[str, Any] = {
        # 2: pieces have other images, so a folder of schema 1 cannot be resumed.
        "schema": 2,
        "version": __version__,
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "defence": _fingerprint(defence, parts, images),
        "data": fingerprint.of_arrays(images),
        "images": len(images),
        "method": numbers.method,
        "cell_size": mask.cell_size,
        "fill_value": mask.fill_value,
        "attacks": [[attack.threat, attack.size] for attack in attacks],
    }
    if numbers.method != "double_masking":
        config |= {"mask_rate": mask.mask_rate, "sampling": mask.sampling}
    if numbers.alpha is not None:
        config |= {
            "alpha": numbers.alpha,
            "samples": numbers.samples,
            "selection": numbers.selection,
            "seed": int(numbers.seed),
        }
    return config


def _fingerprint(defence: keras.Model, parts: Parts, images: np.ndarray) -> str:
    """The fingerprint of a model; where it has none, of its weights and answers."""
    of_model = fingerprint.of_model(defence)
    if of_model is not None:
        return of_model
    noise = np.random.default_rng(0).random((64, *images.shape[1:]))
    inputs = parts.before_the_mask(noise.astype("float32"))
    answers = np.asarray(parts.classifier.predict_on_batch(inputs))
    weights = [w for w in defence.weights if "seed_generator" not in w.path]
    return fingerprint.of_arrays(
        answers, *(keras.ops.convert_to_numpy(weight) for weight in weights)
    )
