"""Self-attention bottleneck (SA): attention between encoder and decoder (CIBA paper, section 5.2.2)."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from trainables.bottlenecks.base import Bottleneck, BottleneckLoss, decoder, generation_loss
from trainables.methods.ciba import CIBAConfig


class SelfAttention(Bottleneck):
    """z' -> Linear, ReLU -> chunks -> multi-head self-attention -> Linear -> h' -> Linear, ReLU, Linear -> ẑ'.

    The paper names only its sources (Srinivas et al. 2021; Vaswani et al. 2017). Our design: the hidden vector, as wide
    as z' (rounded up to whole chunks and heads), is cut into `bottleneck_chunks` chunks, which are the tokens. The
    output of attention is added to them (a residual connection). Positions need no encoding, because the encoder has
    separate weights for each chunk. h' is not a distribution here, so the regularization is the DVIB's KL at σ = 1,
    ½||h'||², weighted by `lambda_ib`. 2,182,664 parameters at 1024 features and H = 8.
    """

    fields: ClassVar[tuple[str, ...]] = ("lambda_ib", "bottleneck_heads", "bottleneck_chunks")

    def __init__(self, config: CIBAConfig, teacher_dim: int, student_dim: int) -> None:
        super().__init__(config, teacher_dim, student_dim)
        self.noise_dim = 0
        self.regularization_weight = config.lambda_ib
        self.chunks, self.heads = config.bottleneck_chunks, config.bottleneck_heads
        self.head_dim = -(-teacher_dim // (self.chunks * self.heads))
        width = self.heads * self.head_dim
        self.hidden = nn.Sequential(nn.Linear(teacher_dim, self.chunks * width), nn.ReLU())
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.narrow = nn.Linear(self.chunks * width, config.bottleneck_dim)
        self.decoder = decoder(config.bottleneck_dim, student_dim)

    def encode(self, teacher: Float[Tensor, "rows teacher_dim"]) -> Float[Tensor, "rows bottleneck"]:
        tokens = self.hidden(teacher).unflatten(1, (self.chunks, -1))
        return self.narrow((tokens + self.attend(tokens)).flatten(1))

    def attend(self, tokens: Float[Tensor, "rows chunks width"]) -> Float[Tensor, "rows chunks width"]:
        """softmax(Q Kᵀ / √d) V in each head; the heads are concatenated and mapped linearly (Vaswani et al., Eq. 1)."""
        parts = self.queries_keys_values(tokens).unflatten(2, (3, self.heads, self.head_dim))
        queries, keys, values = parts.permute(2, 0, 3, 1, 4).unbind(0)
        weights = (queries @ keys.transpose(2, 3) / self.head_dim**0.5).softmax(dim=3)
        return self.attended((weights @ values).transpose(1, 2).flatten(2))

    def loss(
        self,
        teacher: Float[Tensor, "rows teacher_dim"],
        student: Float[Tensor, "rows student_dim"],
        noise: Float[Tensor, "rows noise_dim"],
    ) -> BottleneckLoss:
        """||ẑ' - z||² and ½||h'||², each summed over dimensions, mean over rows.

        Args:
            teacher: features z' of the teacher.
            student: features z of the student that was trained without distillation.
            noise: not used (`noise_dim` is 0).

        Returns:
            Both terms as scalars.
        """
        encoded = self.encode(teacher)
        regularization = encoded.square().sum(dim=1).mean() / 2
        return BottleneckLoss(generation_loss(self.decoder(encoded), student), regularization)
