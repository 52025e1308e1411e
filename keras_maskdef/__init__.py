"""Mask-based adversarial defence for Keras image classifiers."""

from keras_maskdef import (
    architectures,
    attacks,
    certification,
    datasets,
    engines,
    evaluation,
    loading,
    losses,
)
from keras_maskdef._version import __version__
from keras_maskdef.assembly import defend
from keras_maskdef.callbacks import AlternatingTraining
from keras_maskdef.certification import certify
from keras_maskdef.core.former_names import keep_former_names
from keras_maskdef.evaluation import evaluate
from keras_maskdef.layers import (
    BitDepthReduction,
    MedianFilter,
    NonLocalMeans,
    RandomGridMask,
    SparseFeatureMasker,
    VotingEnsemble,
)
from keras_maskdef.prediction import predict

__all__ = [
    "AlternatingTraining",
    "BitDepthReduction",
    "MedianFilter",
    "NonLocalMeans",
    "RandomGridMask",
    "SparseFeatureMasker",
    "VotingEnsemble",
    "__version__",
    "architectures",
    "attacks",
    "certification",
    "certify",
    "datasets",
    "defend",
    "engines",
    "evaluate",
    "evaluation",
    "loading",
    "losses",
    "predict",
]

keep_former_names()
