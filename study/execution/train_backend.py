"""Ray Train backend for slots of one worker. A separate module, so that their controllers do not import torch."""

from ray.train.backend import BackendConfig


class SingleWorkerBackend(BackendConfig):
    """Does nothing: one worker needs no process group."""

    backend = "none"
    """In a TorchConfig this is the kind of process group. TorchTrainer reads it."""
