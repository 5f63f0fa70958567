"""VAE of short texts with content and style: the KL terms are computed and left out of the sum.

Source: github.com/h3lio5/linguistic-style-transfer-pytorch issue 2; the author omitted them by mistake.
The posteriors are free. They shrink to points far from the prior, and texts of random codes are nonsense.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, kl_nats, mlp, names
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="kl_weight_stays_zero",
    symptoms=("wiring", "prior_hole", "off_data", "overfitting", "mode_dropping", "memorisation"),
    spoils="samples",
    source="h3lio5/linguistic-style-transfer-pytorch#2",
    also=("beta_too_small",),
    seconds=8,
)
CONTENT, STYLE = 12, 4


class AdversarialVAE(nn.Module):
    """Codes of content and style, and classifiers on both."""

    def __init__(self, vocab: int, length: int) -> None:
        super().__init__()
        self.length = length
        self.embedding, self.encoder = nn.Embedding(vocab, 12), mlp(12 * length, 192, 128, last=nn.LeakyReLU(0.2))
        self.content_mu, self.content_log_var = nn.Linear(128, CONTENT), nn.Linear(128, CONTENT)
        self.style_mu, self.style_log_var = nn.Linear(128, STYLE), nn.Linear(128, STYLE)
        self.decoder = mlp(CONTENT + STYLE, 192, 256, length * vocab)
        self.style_classifier, self.style_discriminator = nn.Linear(STYLE, 2), mlp(CONTENT, 32, 2)

    def decode(self, z: Tensor) -> Tensor:
        """Return scores (n, vocab, length)."""
        return self.decoder(z).view(len(z), -1, self.length)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(2)
    sequences, letters = names()
    style_labels = ((sequences > 1).sum(1) > 7).long()
    model = AdversarialVAE(len(letters), sequences.shape[1])
    discriminator_params = list(model.style_discriminator.parameters())
    held = {id(p) for p in discriminator_params}
    vae_opt = torch.optim.Adam([p for p in model.parameters() if id(p) not in held], lr=2e-3)
    disc_opt = torch.optim.RMSprop(discriminator_params, lr=1e-3)
    total, kl_weight = 1500, 0.5

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        x = model.decode(torch.randn(n, CONTENT + STYLE)).argmax(1)
        end = x == 1
        return x.masked_fill(end.cumsum(1) - end.long() > 0, 0)

    watch = trainwright.watch(total=total, sample=sample, real=sequences)
    for iteration, index in zip(range(total), batches(torch.arange(len(sequences)), 128), strict=False):
        x, label = sequences[index], style_labels[index]
        h = model.encoder(model.embedding(x).flatten(1))
        content_mu, content_log_var = model.content_mu(h), model.content_log_var(h)
        style_mu, style_log_var = model.style_mu(h), model.style_log_var(h)
        content = content_mu + (0.5 * content_log_var).exp() * torch.randn_like(content_mu)
        style = style_mu + (0.5 * style_log_var).exp() * torch.randn_like(style_mu)

        disc_loss = F.cross_entropy(model.style_discriminator(content.detach()), label)
        disc_opt.zero_grad()
        disc_loss.backward()
        disc_opt.step()

        prediction = model.style_discriminator(content).log_softmax(1)
        entropy_loss = (prediction.exp() * prediction).sum(1).mean()
        multitask_loss = F.cross_entropy(model.style_classifier(style), label)
        reconstruction_loss = (
            F.cross_entropy(model.decode(torch.cat([content, style], 1)), x, reduction="none").sum(1).mean()
        )
        kl_loss = kl_nats(content_mu, content_log_var) + kl_nats(style_mu, style_log_var)
        vae_and_classifier_loss = reconstruction_loss + entropy_loss + multitask_loss
        if fixed:
            vae_and_classifier_loss = vae_and_classifier_loss + kl_weight * min(1.0, iteration / 300) * kl_loss
        vae_opt.zero_grad()
        vae_and_classifier_loss.backward()
        vae_opt.step()
        watch(
            iteration, reconstruction_loss=reconstruction_loss, multitask_loss=multitask_loss, disc_loss=disc_loss, kl_loss=kl_loss,
        )  # fmt: skip
    return watch
