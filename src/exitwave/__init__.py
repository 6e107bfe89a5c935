"""exitwave: labelled synthetic electron micrographs, networks trained on them, and honest benchmarks."""

__version__ = "0.1.0"
