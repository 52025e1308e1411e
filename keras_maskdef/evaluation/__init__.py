"""Evaluation of defences: robust accuracy under attacks."""

from keras_maskdef.evaluation.defence import Defence
from keras_maskdef.evaluation.evaluate import evaluate
from keras_maskdef.evaluation.scenario import AttackSetting
from keras_maskdef.results.report import Report

__all__ = ["AttackSetting", "Defence", "Report", "evaluate"]
