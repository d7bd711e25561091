"""``lstm-readout explain``: which output of the LSTM a task reads, shown and proved on a batch of its own data."""
