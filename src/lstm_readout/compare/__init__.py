"""``lstm-readout compare``: right and wrong readouts trained side by side, and what each costs."""
