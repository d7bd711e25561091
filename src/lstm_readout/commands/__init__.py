"""The shell commands, one file each: ``lstm-readout train`` is ``commands/train.py``."""
