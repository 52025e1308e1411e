from keras_maskdef.layers.bit_depth_reduction import BitDepthReduction
from keras_maskdef.layers.median_filter import MedianFilter
from keras_maskdef.layers.non_local_means import NonLocalMeans
from keras_maskdef.layers.random_grid_mask import RandomGridMask
from keras_maskdef.layers.sparse_feature_masker import SparseFeatureMasker
from keras_maskdef.layers.voting_ensemble import VotingEnsemble

__all__ = [
    "BitDepthReduction",
    "MedianFilter",
    "NonLocalMeans",
    "RandomGridMask",
    "SparseFeatureMasker",
    "VotingEnsemble",
]
