"""One framework per file: its own model is built from its own classes, and ``lstm_readout.doctor`` examines it.

``python -m probes.NAME`` prints what was found as JSON, in the environment that ``scripts/frameworks.py`` makes.
"""
