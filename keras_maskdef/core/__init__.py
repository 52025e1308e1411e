"""Shared helpers: argument checks, value ranges, files, Keras' private parts."""
