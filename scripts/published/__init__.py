"""The parts of ``scripts/results.py``: runs go in, records and pages come out."""
