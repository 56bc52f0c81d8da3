"""Registers an exported student in MLflow as a model with signature and input example.

The model is open_clip's folder and a short script that loads it. So loading it from MLflow needs open_clip but not this
project, and nothing is pickled.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from study.config.resolved_study import ResolvedStudy
from study.storage.store import StudyStore
from study.tracking.tracker import ENVIRONMENT, Tracker, environment

SCRIPT = '''\
"""Embeddings of a student: images and token numbers in, unit vectors out. Needs open_clip only."""

import mlflow.models
import mlflow.pyfunc
import open_clip
import torch


class Student(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        folder = context.artifacts["open_clip"]
        self.model, _, self.preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        self.model.eval()

    @torch.no_grad()
    def predict(self, context, model_input, params=None):
        images = torch.as_tensor(model_input["images"]).float()
        tokens = torch.as_tensor(model_input["tokens"]).long()
        return {
            "image_embeddings": self.model.encode_image(images, normalize=True).numpy(),
            "text_embeddings": self.model.encode_text(tokens, normalize=True).numpy(),
        }


mlflow.models.set_model(Student())
'''

REQUIREMENTS = ("open_clip_torch", "torch", "torchvision", "timm", "numpy")


class Example(NamedTuple):
    """Inputs and outputs of the model for an example, by name."""

    inputs: dict[str, np.ndarray]
    """`images` (batch, 3, height, width), normalised; `tokens` (batch, length)."""
    outputs: dict[str, np.ndarray]
    """`image_embeddings` and `text_embeddings` (batch, dim), of unit length."""


class Registered(NamedTuple):
    """Where MLflow has the model."""

    name: str
    version: str
    uri: str
    """To load it with: `models:/<name>/<version>`."""


def log_export(study: ResolvedStudy, store: StudyStore, trial_id: str, folder: Path, example: Example) -> Registered:
    """Log the exported `folder` as an MLflow model of the trial's run, and register it under the experiment's name.

    MLflow is updated first.

    Args:
        study: The study.
        store: Its store.
        trial_id: The trial whose run gets the model.
        folder: The exported folder.
        example: Inputs and outputs of the model.

    Returns:
        Name, version and URI of the registered model.

    Raises:
        TrackingUnavailable: if MLflow cannot be reached.

    """
    tracker = Tracker(study, store)
    tracker.sync()
    with tracker.open() as writer, environment(ENVIRONMENT), TemporaryDirectory() as directory:
        script = Path(directory) / "student.py"
        script.write_text(SCRIPT)
        run_id = writer.runs["trial", trial_id].run_id
        with used_tracking(study.tracking.uri, writer.experiment_id):
            return log_model(study.tracking.experiment, run_id, script, folder, example)


@contextmanager
def used_tracking(uri: str, experiment_id: str) -> Iterator[None]:
    """Set MLflow's global settings, which logging a model needs, for the length of a block."""
    import mlflow

    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        mlflow.set_experiment(experiment_id=experiment_id)
        yield
    finally:
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])


def log_model(name: str, run_id: str, script: Path, folder: Path, example: Example) -> Registered:
    """Log and register the model. The finished run keeps its status and its times."""
    import mlflow.pyfunc
    from mlflow.models import Model, infer_signature

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow asks for type hints, which the signature replaces
        info = Model.log(
            artifact_path=None,
            flavor=mlflow.pyfunc,
            name="student",
            run_id=run_id,
            registered_model_name=name,
            signature=infer_signature(example.inputs, example.outputs),
            input_example=example.inputs,
            python_model=str(script),
            artifacts={"open_clip": str(folder.absolute())},
            pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
        )
    number = str(info.registered_model_version)
    return Registered(name, number, f"models:/{name}/{number}")
