"""Tune's side of a trial. In a module of its own, so that Tune's actors import neither torch nor Optuna."""

from typing import Any

import ray
from ray import tune


class TrialRelay(tune.Trainable):
    """Tune's side of a trial: passes on its news. Reused from trial to trial."""

    def setup(self, config: dict[str, Any]) -> None:
        self.mailbox = ray.get_actor(config["mailbox"], namespace=config["namespace"])
        self.seen = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.config, self.seen = new_config, 0
        return True

    def step(self) -> dict[str, Any]:
        news: Any = ray.get(self.mailbox.news.remote(self.config["trial_id"], self.seen))
        self.seen += len(news.reports)
        return {"news": news, "done": news.result is not None}

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing to load: the trial's state is its slot's."""
