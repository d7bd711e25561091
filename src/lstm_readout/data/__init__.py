"""Text goes in, packed batches come out: one data module for all tasks."""
