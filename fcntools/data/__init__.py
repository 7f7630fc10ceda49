"""Check, download and pack data sets."""
