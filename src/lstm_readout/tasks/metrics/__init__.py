"""Metrics of a task besides its loss, and baselines to compare them with."""
