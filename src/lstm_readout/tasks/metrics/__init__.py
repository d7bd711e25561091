"""What is measured of a task beside its loss, and baselines to hold it against."""
