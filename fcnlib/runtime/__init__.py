"""What stages run on: TensorFlow and slim, whole files, run records, progress, processes."""
