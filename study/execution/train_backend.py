"""Ray Train's backend for slots of one worker. A module of its own, so that their controllers do not import torch."""

from ray.train.backend import BackendConfig


class LoneWorker(BackendConfig):
    """Sets nothing up: one worker has nobody to find."""

    backend = "none"
    """In a TorchConfig the kind of process group; TorchTrainer asks for it."""
