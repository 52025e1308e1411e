"""What a defence is worth."""

from keras_maskdef.evaluation.defence import Defence
from keras_maskdef.evaluation.evaluate import evaluate
from keras_maskdef.evaluation.report import Report
from keras_maskdef.evaluation.scenario import AttackSetting

__all__ = ["AttackSetting", "Defence", "Report", "evaluate"]
