"""The doctor's checks, one file per way of looking."""
