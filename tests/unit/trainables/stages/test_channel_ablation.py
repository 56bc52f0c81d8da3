"""The channel ablation: saliency against loops and a network whose answer is known, and the stages through `fit`."""

import pytest
import torch
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.fitting import fit
from trainables.stages.artifacts import StageStore
from trainables.stages.channel_ablation import channel_saliency, nullified_channels, nullified_stage

CPU = torch.device("cpu")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def trial(**method: object) -> TrialConfig:
    network = {"model": "mlp", "hidden": [], "feature_dim": 12}
    training = {"epochs": 3, "batch_size": 50, "lr": 1e-2}
    return TrialConfig.model_validate(
        {
            "data": {"dataset": "mfeat", "train": 100, "val": 50},
            "teacher": network,
            "student": network,
            "method": {"method": "nullified_kd", "nullified_permutations": 2, **method},
            "training": training,
            "pretraining": training,
        }
    )


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> StageStore:
    return StageStore(tmp_path_factory.mktemp("stages"))


def test_saliency_against_loops() -> None:
    channels, target, head = normal(6, 3), normal(6, 2, seed=1), nn.Linear(3, 2).double()
    found = channel_saliency(head, channels, target, 4, torch.Generator().manual_seed(5))
    generator, raw = torch.Generator().manual_seed(5), []
    for channel in range(3):
        errors = []
        for _ in range(4):
            order = torch.randperm(6, generator=generator)
            for row in range(6):
                mixed = [channels[order[row] if c == channel else row, c].item() for c in range(3)]
                for k in range(2):
                    output = sum(head.weight[k, c].item() * mixed[c] for c in range(3)) + head.bias[k].item()
                    errors.append((output - target[row, k].item()) ** 2)
        raw.append(sum(errors) / len(errors))
    expected = [(value - min(raw)) / (max(raw) - min(raw)) for value in raw]
    assert found.tolist() == pytest.approx(expected)


def test_a_channel_is_general_as_far_as_the_outputs_agree_through_it() -> None:
    """The student agrees with the teacher through channel 0; channel 1 is noise to it, channel 2 is unused."""
    channels = normal(400, 3)
    head = nn.Linear(3, 1, bias=False).double()
    head.weight.data = torch.tensor([[1.0, 0.3, 0.0]], dtype=torch.float64)
    saliency = channel_saliency(head, channels, channels[:, :1], 10, torch.Generator().manual_seed(0))
    assert saliency[0] == 1 and saliency[2] < 0.05 and saliency[1] < 0.05


def test_channels_without_a_difference_have_no_saliency() -> None:
    head = nn.Linear(2, 1).double()
    assert channel_saliency(head, torch.ones(5, 2).double(), normal(5, 1), 3, torch.Generator()).tolist() == [0, 0]


def test_which_channels_go() -> None:
    saliency = torch.tensor([0.5, 0.0, 1.0, 0.2])

    def gone(nullify: str, part: float = 0.75) -> list[int]:
        return nullified_channels(saliency, nullify, part, torch.Generator().manual_seed(0)).nonzero()[:, 0].tolist()

    assert gone("nothing") == [] and gone("least_general", 0.0) == []
    assert gone("least_general") == [0, 1, 3] and gone("most_general") == [0, 2, 3] and len(gone("random")) == 3
    assert gone("least_general", 1.0) == [0, 1, 2, 3]


def test_nullified_channels_are_their_mean_and_the_logits_follow(stages: StageStore) -> None:
    whole, part = (nullified_stage(trial(nullify=nullify)) for nullify in ("nothing", "most_general"))
    assert whole.joint.key == part.joint.key, "one joint training for all arms"
    before, after = (stages.get(stage).arrays for stage in (whole, part))
    gone = after["nullified"]
    assert gone.sum() == 9 and not before["nullified"].any()
    kept = before["train/features"][:, ~gone]
    assert torch.equal(after["train/features"][:, ~gone], kept)
    mean = before["train/features"].mean(dim=0)[gone]
    for split in ("train", "test"):
        assert torch.equal(after[f"{split}/features"][:, gone], mean.expand(len(after[f"{split}/features"]), -1))
    state = stages.get(part.joint).arrays
    logits = after["train/features"] @ state["state/head.weight"].T + state["state/head.bias"]
    torch.testing.assert_close(after["train/logits"], logits)
    saliency = state["saliency"]
    assert (saliency.min(), saliency.max()) == (0, 1) and saliency[gone].min() >= saliency[~gone].max()


def test_a_trial_learns_from_the_nullified_teacher_alone(stages: StageStore) -> None:
    fitted = fit(trial(), stages=stages)
    assert fitted.history[-1].metrics["train/weight_task"] == 0
    assert fitted.history[-1].metrics["train/loss_kd"] < fitted.history[0].metrics["train/loss_kd"]
    assert fitted.result.stages_reused or fitted.result.stages_computed


def test_the_joint_training_learns(stages: StageStore) -> None:
    """More epochs of joint training: the teacher alone is right more often."""
    config = trial(nullify="nothing")
    right = []
    for epochs in (1, 12):
        longer = config.model_copy(update={"pretraining": config.pretraining.model_copy(update={"epochs": epochs})})
        arrays = stages.get(nullified_stage(longer)).arrays
        labels = stages.get(nullified_stage(longer).joint.prepared).arrays["train/labels"]
        right.append((arrays["train/logits"].argmax(dim=1) == labels).double().mean().item())
    assert right[1] > right[0] + 0.1
