"""Teacher and student networks: one file per family, and one line here."""

from trainables.models.base import ModelEntry
from trainables.models.cnn import CNNConfig, build_cnn
from trainables.models.mlp import MLPConfig, build_mlp

MODELS: dict[str, ModelEntry] = {
    "mlp": ModelEntry(MLPConfig, build_mlp),
    "cnn": ModelEntry(CNNConfig, build_cnn),
}
