"""Codebook bottleneck (VQ-VAE, van den Oord et al. 2017), with the student's features as its target."""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from trainables.bottlenecks.base import Bottleneck, BottleneckLoss, decoder, generation_loss
from trainables.methods.ciba import CIBAConfig


class VQ(Bottleneck):
    """z' -> Linear, ReLU, Linear -> e; h' = c, the nearest code to e -> Linear, ReLU, Linear -> ẑ'.

    The self-reconstruction of a VQ-VAE becomes the generation of z (CIBA paper, section 5.2.2). The decoder's gradient
    passes to e as if h' were e (straight through). The regularization is ||sg(e) - c||² + β||e - sg(c)||², with weight
    1 as in the VQ-VAE: its KL is the constant ln(codes), so `lambda_ib` is not used. `bottleneck_code_parts` is the
    number of parts of nearly equal width into which h' is cut; each part has its own codes. Our choices: the widths
    (2,120,712 parameters at 1024 features, H = 8 and 512 codes), and the restart of unused codes: before each epoch, a
    code that is nearest to no training row is set to e of a random row. Without it, nearly all codes stay unused.
    """

    fields: ClassVar[tuple[str, ...]] = ("bottleneck_codes", "bottleneck_code_parts", "bottleneck_commitment")

    def __init__(self, config: CIBAConfig, teacher_dim: int, student_dim: int) -> None:
        super().__init__(config, teacher_dim, student_dim)
        self.noise_dim = 0
        self.regularization_weight = 1.0
        self.commitment = config.bottleneck_commitment
        self.parts = min(config.bottleneck_code_parts, config.bottleneck_dim)
        self.encoder = nn.Sequential(
            nn.Linear(teacher_dim, teacher_dim), nn.ReLU(), nn.Linear(teacher_dim, config.bottleneck_dim)
        )
        self.codes = nn.Parameter(torch.randn(config.bottleneck_codes, config.bottleneck_dim))
        self.decoder = decoder(config.bottleneck_dim, student_dim)

    @torch.no_grad()
    def prepare_epoch(self, teacher: Float[Tensor, "rows teacher_dim"], generator: torch.Generator) -> None:
        """Set the codes that no training row uses to the encoder's output e of random rows.

        Args:
            teacher: features z' of the training rows.
            generator: CPU generator that draws the rows.
        """
        order = torch.randperm(len(teacher), generator=generator).to(teacher.device)
        encoded = self.encoder(teacher)
        fresh = encoded[order[torch.arange(len(self.codes), device=teacher.device) % len(order)]]
        used = torch.zeros_like(self.codes, dtype=torch.bool)
        split = [matrix.tensor_split(self.parts, 1) for matrix in (encoded, self.codes, used)]
        for part, codes, mark in zip(*split, strict=True):
            mark[nearest(part, codes)] = True
        self.codes.copy_(torch.where(used, self.codes, fresh))

    def quantise(self, encoded: Float[Tensor, "rows bottleneck"]) -> Float[Tensor, "rows bottleneck"]:
        """The nearest code of each row, part by part; the first one in case of a tie."""
        pairs = zip(encoded.tensor_split(self.parts, 1), self.codes.tensor_split(self.parts, 1), strict=True)
        return torch.cat([codes[nearest(part, codes)] for part, codes in pairs], dim=1)

    def encode(self, teacher: Float[Tensor, "rows teacher_dim"]) -> Float[Tensor, "rows bottleneck"]:
        return self.quantise(self.encoder(teacher))

    def loss(
        self,
        teacher: Float[Tensor, "rows teacher_dim"],
        student: Float[Tensor, "rows student_dim"],
        noise: Float[Tensor, "rows noise_dim"],
    ) -> BottleneckLoss:
        """||ẑ' - z||² and ||sg(e) - c||² + β||e - sg(c)||², each summed over dimensions, mean over rows.

        Args:
            teacher: features z' of the teacher.
            student: features z of the student that was trained without distillation.
            noise: not used (`noise_dim` is 0).

        Returns:
            Both terms as scalars.
        """
        encoded = self.encoder(teacher)
        code = self.quantise(encoded)
        decoded = self.decoder(encoded + (code - encoded).detach())
        codebook = (encoded.detach() - code).square().sum(dim=1).mean()
        commitment = (encoded - code.detach()).square().sum(dim=1).mean()
        return BottleneckLoss(generation_loss(decoded, student), codebook + self.commitment * commitment)


def nearest(rows: Float[Tensor, "rows width"], codes: Float[Tensor, "codes width"]) -> Int[Tensor, " rows"]:
    """Index of the code nearest to each row, by ||e - c||² without ||e||², which is the same for all codes.

    Args:
        rows: encoder outputs e.
        codes: the codes c.

    Returns:
        Indices in [0, codes); the first one in case of a tie.
    """
    return (codes.square().sum(dim=1) - 2 * rows @ codes.T).argmin(dim=1)
