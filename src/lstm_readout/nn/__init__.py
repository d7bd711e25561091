"""The parts of models; they need torch alone."""
