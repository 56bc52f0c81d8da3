"""What one trial does: data, models, methods, stages and the training loop. No Tune, no Optuna, no MLflow."""
