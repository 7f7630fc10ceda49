"""Figures with Matplotlib."""
