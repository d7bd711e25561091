"""The doctor's checks, a file for each way of looking."""
