"""The columns of a recipe's table, as data."""

from keras_maskdef.recipes.defences.bare import Bare
from keras_maskdef.recipes.defences.compared import Compared
from keras_maskdef.recipes.defences.sparse_features import SparseFeatures
from keras_maskdef.recipes.defences.vote import Vote, partition

__all__ = ["Bare", "Compared", "SparseFeatures", "Vote", "partition"]
