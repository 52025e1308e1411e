"""An evaluation for processes of its own, which a test may kill.

Also what a fork server imports once for many such processes.
"""

import warnings

import toy

from keras_maskdef.evaluation import AttackSetting, evaluate

ATTACKS = [AttackSetting("fgsm", "linf", 0.1), AttackSetting("bim", "linf", 0.1)]
ADAPTIVE = [AttackSetting("pgd", "linf", 0.2, options={"steps": 5})]


def run(folder, shard=(1, 1), **options):
    """The evaluation of which every process makes the same results."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return evaluate(
            toy.vote(),
            toy.data(),
            ATTACKS,
            adaptive=ADAPTIVE,
            eot_samples=(1, 4),
            repeats=3,
            batch_size=16,
            folder=folder,
            resume=True,
            shard=shard,
            **options,
        )
