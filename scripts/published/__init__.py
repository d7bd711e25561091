"""What ``scripts/results.py`` and ``scripts/ablation.py`` are made of: runs go in, tables come out."""
