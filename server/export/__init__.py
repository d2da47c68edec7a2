"""The metrics of a run for TensorBoard and MLflow, made of its events while it is at work."""
