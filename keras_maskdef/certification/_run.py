"""The work of `certify`, kept in a folder and gone on with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_maskdef._version import __version__
from keras_maskdef.certification.answers import Answers
from keras_maskdef.certification.exact import ABSTAINS, Proof
from keras_maskdef.certification.methods import Found, Method
from keras_maskdef.certification.parts import Parts
from keras_maskdef.certification.threats import Attack
from keras_maskdef.core import fingerprint as fingerprint
from keras_maskdef.core.checked_files import Arrays, Form, check_arrays
from keras_maskdef.core.progress import Start
from keras_maskdef.core.run_folder import RunFolder
from keras_maskdef.engines import Engine
from keras_maskdef.engines.shipping import check_same

# Views of one piece of work, which a killed run loses: at most half a minute of LeNet.
_PIECE = 1 << 19
# Few, whoever does the work, so that many workers have some. The last batch of a piece
# is not full: of digits under 1,820 masks a tenth more views than in pieces of 250.
_IMAGES = 40
_MOST_CLASSES = 10**6


@dataclass(frozen=True)
class Numbers:
    """What a run was asked for, besides its models and images."""

    method: str
    alpha: float | None
    samples: int
    selection: int
    seed: int


@dataclass(frozen=True, eq=False)
class Piece:
    """Some images, as the mask sees them.

    Args:
        first: Place of the first of them.
        images: `(n, ...)`.
    """

    first: int
    images: np.ndarray


@dataclass(frozen=True)
class Prover:
    """What is done with a piece of work, wherever that is.

    Args:
        method: How images are certified.
        answers: Who is asked.
        few: Some images, as the mask sees them.
    """

    method: Method
    answers: Answers
    few: np.ndarray

    def __reduce__(self) -> tuple[Any, ...]:
        known = self.answers.outputs(self.few)
        return _elsewhere, (known, self.method, self.answers, self.few)

    def __call__(self, piece: Piece) -> Iterator[Arrays]:
        do = self._in_portions if self.method.in_portions else self._together
        at_once = self.answers.images_at_once(self.method.count)
        done = [
            do(piece.first + start, piece.images[start : start + at_once])
            for start in range(0, len(piece.images), at_once)
        ]
        proofs = [proof for each, _ in done for proof in each]
        yield {
            "predicted": np.concatenate([p.predicted for p in proofs], axis=1),
            "certified": np.concatenate([p.certified for p in proofs], axis=1),
            "views": np.concatenate([views for _, views in done]),
        }

    def _together(
        self, first: int, images: np.ndarray
    ) -> tuple[list[Proof], np.ndarray]:
        """Several images, whose views share batches."""
        masks = [
            one for n in range(len(images)) for one in self.method.masks(first + n)
        ]
        found = self.answers(images, [each.hidden for each in masks])
        proofs = [self.method.judge([pair]) for pair in zip(masks, found, strict=True)]
        return proofs, self.answers.views

    def _in_portions(
        self, first: int, images: np.ndarray
    ) -> tuple[list[Proof], np.ndarray]:
        """One image after another, and of its masks one portion after another."""
        views = np.zeros(len(images), int)

        def found(n: int) -> Iterator[Found]:
            for masks in self.method.masks(first + n):
                (answers,) = self.answers(images[n : n + 1], [masks.hidden])
                views[n] += self.answers.views.sum()
                yield masks, answers

        return [self.method.judge(found(n)) for n in range(len(images))], views


def _elsewhere(known: np.ndarray, *parts: Any) -> Prover:
    """The prover in another process, with the same classifier."""
    prover = Prover(*parts)
    check_same(known, prover.answers.outputs(prover.few))
    return prover


def work(
    prover: Prover,
    images: np.ndarray,
    store: RunFolder,
    engine: Engine,
    start: Start,
) -> tuple[Proof, np.ndarray]:
    """All images, piece by piece; what is done is not done again."""
    each = max(1, min(_IMAGES, _PIECE // prover.method.count))
    firsts = range(0, len(images), each)
    advance = start("certify", len(images))

    def pieces() -> Iterator[Piece]:
        for first in firsts:
            piece = Piece(first, images[first : first + each])
            if _key(first) in store:
                advance(len(piece.images))
            else:
                yield piece

    with engine.started(prover) as do:
        for piece, made in do(pieces()):
            store.save(_key(piece.first), made)
            advance(len(piece.images))
    parts = [_proven(store, first, min(each, len(images) - first)) for first in firsts]
    whole = {
        name: np.concatenate([p[name] for p in parts], axis=-1) for name in parts[0]
    }
    return Proof(whole["predicted"], whole["certified"]), whole["views"]


def _proven(store: RunFolder, first: int, images: int) -> Arrays:
    """A piece of work, as it was kept."""
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
    """All that the proofs depend on."""
    mask = parts.mask
    config: dict[str, Any] = {
        # 2: other images in a piece, which a folder of schema 1 cannot be resumed with.
        "schema": 2,
        "version": __version__,
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "defence": _known(defence, parts, images),
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


def _known(defence: keras.Model, parts: Parts, images: np.ndarray) -> str:
    """The fingerprint of a model; where it has none, its weights and answers."""
    found = fingerprint.of_model(defence)
    if found is not None:
        return found
    noise = np.random.default_rng(0).random((64, *images.shape[1:]))
    seen = parts.before_the_mask(noise.astype("float32"))
    answers = np.asarray(parts.classifier.predict_on_batch(seen))
    weights = [w for w in defence.weights if "seed_generator" not in w.path]
    return fingerprint.of_arrays(
        answers, *(keras.ops.convert_to_numpy(weight) for weight in weights)
    )
