"""Parts of models that need torch alone."""
