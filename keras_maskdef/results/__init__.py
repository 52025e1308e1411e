"""The one model of a result: records that are saved, read, printed and drawn."""

from keras_maskdef.results.report import Report, Row
from keras_maskdef.results.score import Score

__all__ = ["Report", "Row", "Score"]
