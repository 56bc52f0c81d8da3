"""Deep variational information bottleneck (Alemi et al. 2017), with the student's features as its target."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from trainables.bottlenecks.base import Bottleneck, BottleneckLoss, decoder, generation_loss
from trainables.losses.distillation import standard_normal_kl
from trainables.methods.ciba import CIBAConfig


class DVIB(Bottleneck):
    """z' -> Linear, ReLU -> (μ, ln σ²); h' = μ + σ ε -> Linear, ReLU, Linear -> ẑ'.

    The encoder's hidden layer is as wide as z', the decoder's as wide as z. The paper gives no widths; these result in
    2,124,816 parameters at 1024 features and H = 8 (the paper reports 2.1 million). The regularization is the KL
    divergence from the standard normal, weighted by `lambda_ib`.
    """

    fields: ClassVar[tuple[str, ...]] = ("lambda_ib",)

    def __init__(self, config: CIBAConfig, teacher_dim: int, student_dim: int) -> None:
        super().__init__(config, teacher_dim, student_dim)
        self.noise_dim = config.bottleneck_dim
        self.regularization_weight = config.lambda_ib
        self.hidden = nn.Sequential(nn.Linear(teacher_dim, teacher_dim), nn.ReLU())
        self.mean = nn.Linear(teacher_dim, config.bottleneck_dim)
        self.log_variance = nn.Linear(teacher_dim, config.bottleneck_dim)
        self.decoder = decoder(config.bottleneck_dim, student_dim)

    def encode(self, teacher: Float[Tensor, "rows teacher_dim"]) -> Float[Tensor, "rows bottleneck"]:
        return self.mean(self.hidden(teacher))

    def loss(
        self,
        teacher: Float[Tensor, "rows teacher_dim"],
        student: Float[Tensor, "rows student_dim"],
        noise: Float[Tensor, "rows noise_dim"],
    ) -> BottleneckLoss:
        """||ẑ' - z||² and KL(N(μ, σ²) || N(0, 1)), each summed over dimensions, mean over rows.

        Args:
            teacher: features z' of the teacher.
            student: features z of the student that was trained without distillation.
            noise: ε from N(0, 1); zeros for the loss without noise.

        Returns:
            Both terms as scalars.
        """
        hidden = self.hidden(teacher)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        decoded = self.decoder(mean + (log_variance / 2).exp() * noise)
        return BottleneckLoss(generation_loss(decoded, student), standard_normal_kl(mean, log_variance))
