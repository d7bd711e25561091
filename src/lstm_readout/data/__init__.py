"""Text in, packed batches out: one data module for all tasks."""
