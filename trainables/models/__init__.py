"""Teacher and student networks: one file per family, and one entry in the table of `encoders`."""

from trainables.models.base import ModelEntry
from trainables.models.encoders import ENCODERS
from trainables.models.fusion import FusionConfig, build_fusion

MODELS: dict[str, ModelEntry] = {**ENCODERS, "fusion": ModelEntry(FusionConfig, build_fusion)}
