"""Array kernels: NumPy and numba only, no Keras, no TensorFlow."""
