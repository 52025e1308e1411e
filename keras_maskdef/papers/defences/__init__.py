"""Settings of the defences that are the columns of a recipe's table."""

from keras_maskdef.papers.defences.bare import Bare
from keras_maskdef.papers.defences.compared import Compared
from keras_maskdef.papers.defences.sparse_features import SparseFeatures
from keras_maskdef.papers.defences.vote import Vote, partition

__all__ = ["Bare", "Compared", "SparseFeatures", "Vote", "partition"]
