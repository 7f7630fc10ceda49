"""Run the notebooks, and the report of a run."""
