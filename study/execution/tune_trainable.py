"""The Tune trainable for a pack of trials. A separate module, so that Tune's actors import neither torch nor Optuna."""

from typing import Any

import ray
from ray import tune


class PackTrainable(tune.Trainable):
    """Forwards the updates of a pack from the mailbox to Tune. The actor is reused from pack to pack."""

    def setup(self, config: dict[str, Any]) -> None:
        self.mailbox = ray.get_actor(config["mailbox"], namespace=config["namespace"])
        self.seen = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.config, self.seen = new_config, 0
        return True

    def step(self) -> dict[str, Any]:
        updates: Any = ray.get(self.mailbox.updates.remote(self.config["pack"], self.seen))
        self.seen += len(updates.reports)
        return {"updates": updates, "done": updates.done}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing to load: the slot keeps the state."""
