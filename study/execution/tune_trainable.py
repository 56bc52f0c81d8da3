"""Tune's side of a pack of trials. In a module of its own, so that Tune's actors import neither torch nor Optuna."""

from typing import Any

import ray
from ray import tune


class TrialRelay(tune.Trainable):
    """Tune's side of a pack: passes on its news. Reused from pack to pack."""

    def setup(self, config: dict[str, Any]) -> None:
        self.mailbox = ray.get_actor(config["mailbox"], namespace=config["namespace"])
        self.seen = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.config, self.seen = new_config, 0
        return True

    def step(self) -> dict[str, Any]:
        news: Any = ray.get(self.mailbox.news.remote(self.config["pack"], self.seen))
        self.seen += len(news.reports)
        return {"news": news, "done": news.done}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing to load: the state is its slot's."""
