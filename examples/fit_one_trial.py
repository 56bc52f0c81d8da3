"""Train one student with a teacher, without Ray, Optuna and MLflow.

python examples/fit_one_trial.py

The data set is shipped. The teacher sees the pixels of handwritten numerals, the student their Fourier coefficients;
only 100 of the training pairs have a label.
"""

from trainables import TrialConfig, fit

EPOCHS = 20

config = TrialConfig.model_validate(
    {
        "data": {"dataset": "mfeat", "teacher": "pix", "student": "fou", "labels": 100},
        "teacher": {"model": "mlp", "hidden": [128], "feature_dim": 128},
        "student": {"model": "mlp", "hidden": [128], "feature_dim": 128},
        "method": {"method": "kd", "temperature": 4.0, "lambda_kd": 0.5},
        "training": {"epochs": EPOCHS, "batch_size": 64},
        "pretraining": {"epochs": EPOCHS},
        "seed": 0,
    }
)

fitted = fit(config)
for report in fitted.history[:: EPOCHS // 5]:
    print(f"epoch {report.epoch:2}: validation accuracy {report.metrics['val/accuracy']:.3f}")

result = fitted.result
parameters = sum(parameter.numel() for parameter in fitted.student.parameters())
print(f"selected epoch {result.selected_epoch} of {result.epochs}; student with {parameters:,} parameters")
print(f"test accuracy {result.metrics['test/accuracy']:.3f}")
