"""The MLflow view of a study: written from the store, so that it can always be rebuilt."""
