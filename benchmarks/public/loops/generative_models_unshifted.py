"""Transformer over tokens: the targets are not shifted, so position N learns to repeat token N that it was given.

Source: github.com/Project-MONAI/GenerativeModels issue 314, corrected in pull request 318.
The network was trained to predict token N given tokens 0 to N inclusive. The loss is almost zero and nothing can be sampled.
"""

import torch
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, levels
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="targets_in_input",
    symptoms=("wiring", "off_data", "vanishing_losses", "state_leak", "mode_collapse"),
    spoils="samples",
    source="Project-MONAI/GenerativeModels#314",
)


class DecoderOnlyTransformer(nn.Module):
    """Causal self-attention over the tokens of a row."""

    def __init__(self, num_tokens: int, max_seq_len: int) -> None:
        super().__init__()
        self.token, self.position = nn.Embedding(num_tokens + 1, 48), nn.Embedding(max_seq_len + 1, 48)
        layer = nn.TransformerEncoderLayer(48, 4, 96, dropout=0.0, batch_first=True)
        self.blocks, self.to_logits = (
            nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
            nn.Linear(48, num_tokens),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        h = self.token(x) + self.position(torch.arange(x.shape[1]))
        return self.to_logits(self.blocks(h, mask=mask)).transpose(1, 2)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    quantizations, alphabet = levels(16)
    begin = len(alphabet)
    transformer = DecoderOnlyTransformer(begin, 16)
    optimizer, ce_loss = torch.optim.Adam(transformer.parameters(), 2e-3), nn.CrossEntropyLoss()

    def sample(n: int) -> Tensor:
        latent = torch.full((n, 1), begin)
        for _ in range(16):
            logits = transformer(latent)[:, :, -1]
            latent = torch.cat([latent, torch.multinomial(logits.softmax(1), 1)], 1)
        return latent[:, 1:]

    watch = trainwright.watch(total=600, sample=sample, real=quantizations)
    for step, latent in zip(range(600), batches(quantizations, 32), strict=False):
        logits = transformer(torch.cat([torch.full((len(latent), 1), begin), latent], 1))
        loss = ce_loss(logits[:, :, :-1] if fixed else logits[:, :, 1:], latent)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, ce_loss=loss)
    return watch
