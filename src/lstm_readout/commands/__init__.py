"""What each command of the shell does, one file each: ``lstm-readout train`` is ``commands/train.py``."""
