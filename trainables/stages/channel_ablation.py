"""The channel ablation of the modality focusing hypothesis (Xue et al. 2023, Algorithm 1), as stages.

Teacher and student are trained together: each on the labels, and both towards equal outputs. The saliency of a teacher
channel is the distance between the outputs after the channel is permuted over the examples. A channel that only the
teacher's modality can compute has a low saliency, because the outputs agree through what both modalities can compute.
Then some of the channels are nullified (replaced by their mean), and the outputs of this teacher are distilled.

The channels are the inputs of the teacher's last layer; the mean is over the training pairs. The source does not say
whether the jointly trained teacher or another one is nullified: here it is the jointly trained one.
"""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from pydantic import SerializeAsAny
from torch import Tensor
from torch.nn import functional

from trainables.common.distributed import derive_seed
from trainables.common.types import Batch, PairedData
from trainables.config import TrainingConfig, TrialConfig
from trainables.methods.nullified_kd import NullifiedKDConfig, Nullify
from trainables.models.base import Model, ModelConfig
from trainables.stages.artifacts import Artifact, Stage, StageStore
from trainables.stages.networks import Role, build_model
from trainables.stages.prepared import SPLITS, PreparedData, prepared_stage, read_prepared
from trainables.tasks import TASKS
from trainables.training.inputs import network_inputs, select_rows, split_for, to_device
from trainables.training.session import DTYPES, make_optimizer, run_model


class JointTeacher(Stage):
    """The teacher of the joint training, and the saliency of its channels."""

    name: ClassVar[str] = "joint"
    version: ClassVar[int] = 1
    prepared: PreparedData
    teacher: SerializeAsAny[ModelConfig]
    student: SerializeAsAny[ModelConfig]
    training: TrainingConfig
    permutations: int
    seed: int

    def parents(self) -> tuple[Stage, ...]:
        return (self.prepared,)

    def compute(self, stages: StageStore, device: torch.device) -> Artifact:
        data = to_device(read_prepared(stages, self.prepared), device, DTYPES[self.training.precision])
        networks: dict[Role, Model] = {
            role: self.network(role, data).to(device, DTYPES[self.training.precision]) for role in self.sides()
        }
        train_together(self, data, networks, device)
        seen = {role: self.seen(role, data.train) for role in networks}
        target = run_model(networks["student"], network_inputs(seen["student"]), device).logits
        channels = head_inputs(networks["teacher"], seen["teacher"], device)
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "permutations"))
        saliency = channel_saliency(networks["teacher"].head, channels, target, self.permutations, generator)
        state = {f"state/{name}": value for name, value in networks["teacher"].state_dict().items()}
        return Artifact(state | {"saliency": saliency}, {})

    def sides(self) -> dict[Role, ModelConfig]:
        """Both networks' configs."""
        return {"teacher": self.teacher, "student": self.student}

    def seen(self, role: Role, split: Batch) -> Batch:
        """A split with the inputs of one of the networks."""
        return split_for(self.sides()[role], role, split)

    def network(self, role: Role, data: PairedData) -> Model:
        """One of the networks, untrained."""
        return build_model(self.sides()[role], self.seen(role, data.train), data.num_classes, self.seed, role)


class NullifiedTeacher(Stage):
    """Outputs of the jointly trained teacher with some of its channels replaced by their mean."""

    name: ClassVar[str] = "nullified"
    version: ClassVar[int] = 1
    joint: JointTeacher
    nullify: Nullify
    part: float

    def parents(self) -> tuple[Stage, ...]:
        return (self.joint.prepared, self.joint)

    def compute(self, stages: StageStore, device: torch.device) -> Artifact:
        data = to_device(read_prepared(stages, self.joint.prepared), device, DTYPES[self.joint.training.precision])
        arrays = dict(stages.get(self.joint, device).arrays)
        saliency = arrays.pop("saliency")
        model = self.joint.network("teacher", data).to(DTYPES[self.joint.training.precision])
        model.load_state_dict({name.removeprefix("state/"): value for name, value in arrays.items()})
        model.to(device).eval()
        generator = torch.Generator().manual_seed(derive_seed(self.joint.seed, "nullify"))
        nullified = nullified_channels(saliency, self.nullify, self.part, generator).to(device)
        channels = {name: head_inputs(model, self.joint.seen("teacher", data.split(name)), device) for name in SPLITS}
        mean = channels["train"].mean(dim=0)
        outputs: dict[str, Tensor] = {"nullified": nullified}
        for name, rows in channels.items():
            features = torch.where(nullified, mean, rows)
            outputs |= {f"{name}/features": features, f"{name}/logits": model.head(features).detach()}
        return Artifact(outputs, {})


def nullified_stage(config: TrialConfig) -> NullifiedTeacher:
    """The stage of the outputs that a `nullified_kd` student imitates."""
    method = config.method
    assert isinstance(method, NullifiedKDConfig)
    joint = JointTeacher(
        prepared=prepared_stage(config),
        teacher=config.teacher,
        student=config.student,
        training=config.pretraining,
        permutations=method.nullified_permutations,
        seed=config.seed,
    )
    return NullifiedTeacher(joint=joint, nullify=method.nullify, part=method.nullified_part)


def train_together(stage: JointTeacher, data: PairedData, networks: dict[Role, Model], device: torch.device) -> None:
    """Train both networks in place by CE + CE + MSE between their logits, for all epochs of the recipe."""
    config, rows, dtype = stage.training, len(data.train.labels), DTYPES[stage.training.precision]
    optimizer = make_optimizer([p for network in networks.values() for p in network.parameters()], config)
    loss, seen = TASKS[stage.prepared.data.task].loss, {role: stage.seen(role, data.train) for role in networks}
    torch.manual_seed(derive_seed(stage.seed, "dropout"))
    for network in networks.values():
        network.train()
    for epoch in range(1, config.epochs + 1):
        shuffle = torch.Generator().manual_seed(derive_seed(stage.seed, "order", epoch))
        for batch in torch.randperm(rows, generator=shuffle).split(config.batch_size):
            logits = [
                network(*(select_rows(part, batch, device, dtype) for part in network_inputs(seen[role]))).logits
                for role, network in networks.items()
            ]
            own = batch.to(device)
            labels, labelled = data.train.labels[own], data.train.labelled[own]
            total = sum(loss(found, labels, labelled) for found in logits) + functional.mse_loss(*logits)
            optimizer.zero_grad(set_to_none=True)
            torch.as_tensor(total).backward()
            optimizer.step()


@torch.no_grad()
def head_inputs(model: Model, split: Batch, device: torch.device) -> Float[Tensor, "rows channels"]:
    """Inputs of a network's last layer for every row of a split (as `split_for` returns it), in eval mode."""
    channels: list[Tensor] = []
    hook = model.head.register_forward_pre_hook(lambda _, inputs: channels.append(inputs[0].detach()))
    try:
        run_model(model, network_inputs(split), device)
    finally:
        hook.remove()
    return torch.cat(channels)


@torch.no_grad()
def channel_saliency(
    head: torch.nn.Module,
    channels: Float[Tensor, "rows channels"],
    target: Float[Tensor, "rows classes"],
    permutations: int,
    generator: torch.Generator,
) -> Float[Tensor, " channels"]:
    """How general each channel is (Algorithm 1): mean output MSE after permuting it, min-max scaled to [0, 1].

    All 0 if permuting makes no difference between the channels.
    """
    saliency = torch.zeros(channels.shape[1], dtype=torch.float64)
    for channel in range(channels.shape[1]):
        for _ in range(permutations):
            order = torch.randperm(len(channels), generator=generator).to(channels.device)
            changed = channels.clone()
            changed[:, channel] = channels[order, channel]
            saliency[channel] += functional.mse_loss(head(changed), target).double().cpu() / permutations
    span = saliency.max() - saliency.min()
    return (saliency - saliency.min()) / torch.where(span > 0, span, 1)


def nullified_channels(
    saliency: Float[Tensor, " channels"], nullify: Nullify, part: float, generator: torch.Generator
) -> Bool[Tensor, " channels"]:
    """A mask of the channels to nullify: `part` of them (rounded), chosen by saliency or at random."""
    order = {
        "nothing": torch.arange(0),
        "random": torch.randperm(len(saliency), generator=generator),
        "least_general": saliency.argsort(stable=True),
        "most_general": saliency.argsort(stable=True, descending=True),
    }[nullify]
    nullified = torch.zeros(len(saliency), dtype=torch.bool)
    nullified[order[: round(part * len(saliency))]] = True
    return nullified
