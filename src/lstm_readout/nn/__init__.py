"""The parts of models; they need only torch."""
