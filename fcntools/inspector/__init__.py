"""Notebook 06 and its page."""
