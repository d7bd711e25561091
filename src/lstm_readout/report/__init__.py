"""What a run says and leaves behind: tables on the console, files, plots."""
