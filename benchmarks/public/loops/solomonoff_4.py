"""Sequence predictor, written in the manner of JAX: the mask marks what the loss should leave out, but selects it.

Source: github.com/google-deepmind/neural_networks_solomonoff_induction issue 4; a maintainer confirmed it.
The data generator sets the mask to one at the padding. The loss multiplies the log-probabilities by it, so only the padding counts.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import names
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="padding_in_loss",
    symptoms=("wiring", "off_data", "mode_collapse", "mode_dropping", "trivial_baseline", "plateau"),
    spoils="samples",
    source="google-deepmind/neural_networks_solomonoff_induction#4",
    also=("loss_mask_inverted", "loss_mask_wrong", "loss_mask_modified"),
    seconds=9,
)
LENGTH = 16


class TransformerDecoder(nn.Module):
    """Log-probabilities of each symbol, given those before: (n, LENGTH) -> (n, LENGTH, symbols)."""

    def __init__(self, vocab: int, embedding_dim: int = 64, num_layers: int = 2) -> None:
        super().__init__()
        self.embed, self.position = nn.Embedding(vocab + 1, embedding_dim), nn.Embedding(LENGTH, embedding_dim)
        layer = nn.TransformerEncoderLayer(embedding_dim, 4, 128, 0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, num_layers, nn.LayerNorm(embedding_dim), enable_nested_tensor=False)
        self.unembed = nn.Linear(embedding_dim, vocab)
        self.bos = vocab

    def forward(self, targets: Tensor) -> Tensor:
        """Return log-probabilities."""
        shifted = torch.cat([torch.full_like(targets[:, :1], self.bos), targets[:, :-1]], 1)
        steps = targets.shape[1]
        causal = nn.Transformer.generate_square_subsequent_mask(steps)
        h = self.layers(self.embed(shifted) + self.position(torch.arange(steps)), causal, is_causal=True)
        return self.unembed(h).log_softmax(-1)


def data_generator(seed: int, batch_size: int = 32):  # type: ignore[no-untyped-def]
    """Yield batches and logs without end."""
    sequences, _ = names(LENGTH)
    rng = torch.Generator().manual_seed(seed)
    while True:
        batch = sequences[torch.randint(len(sequences), (batch_size,), generator=rng)]
        yield batch, {"loss_mask": (batch == 0).float()}


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(4)
    sequences, letters = names(LENGTH)
    model = TransformerDecoder(len(letters))
    params = dict(model.named_parameters())

    def loss_fn(params: dict[str, Tensor], sequences: Tensor, mask: Tensor) -> Tensor:
        conditionals = functional_call(model, params, (sequences,))
        true_conditionals = conditionals.gather(-1, sequences[..., None])[..., 0]
        if fixed:
            mask = 1 - mask
        true_conditionals = mask * true_conditionals
        marginals = true_conditionals.sum(1)
        return -marginals.mean()

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        drawn = torch.zeros(n, LENGTH, dtype=torch.long)
        done = torch.zeros(n, dtype=torch.bool)
        for i in range(LENGTH):
            drawn[:, i] = model(drawn)[:, i].exp().multinomial(1)[:, 0].masked_fill(done, 0)
            done |= drawn[:, i] <= 1
        return drawn

    training_steps = 1200
    optimizer = torch.optim.Adam(list(params.values()), lr=2e-3)
    watch = trainwright.watch(total=training_steps, sample=sample, real=sequences)
    generator = data_generator(seed=1)
    for step in range(training_steps):
        batch, log_dict = next(generator)
        loss = loss_fn(params, batch, log_dict["loss_mask"])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(list(params.values()), 1.0)
        optimizer.step()
        watch(step, loss=loss.item())
    return watch
