"""Engines do long work: in this process, or on a cluster."""

from keras_maskdef.engines.choice import as_engine
from keras_maskdef.engines.engine import Engine
from keras_maskdef.engines.local_engine import LocalEngine
from keras_maskdef.engines.ray_engine import RayEngine

__all__ = ["Engine", "LocalEngine", "RayEngine", "as_engine"]
