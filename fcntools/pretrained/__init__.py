"""Weights from elsewhere, and the classifier of generated shapes."""
