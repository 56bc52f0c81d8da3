"""What is measured on features and weights to explain a trial. Pure functions, computed in float64."""
