"""Stands in for torchaudio, whose wheel on PyPI needs CUDA; text training never calls it."""

__version__ = "2.11.0+stub"
