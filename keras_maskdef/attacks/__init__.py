from keras_maskdef.attacks.attack import Attack
from keras_maskdef.attacks.attack_info import AttackInfo
from keras_maskdef.attacks.crafting import craft
from keras_maskdef.attacks.expectation import expectation_over_masks
from keras_maskdef.attacks.registry import available, describe, prepare
from keras_maskdef.attacks.target import Target

__all__ = [
    "Attack",
    "AttackInfo",
    "Target",
    "available",
    "craft",
    "describe",
    "expectation_over_masks",
    "prepare",
]
