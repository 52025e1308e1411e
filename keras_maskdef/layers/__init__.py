from keras_maskdef.layers.random_grid_mask import RandomGridMask
from keras_maskdef.layers.voting_ensemble import VotingEnsemble

__all__ = ["RandomGridMask", "VotingEnsemble"]
