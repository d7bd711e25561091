"""Command-line words go in; a checked configuration, and the data and task built from it, come out."""
