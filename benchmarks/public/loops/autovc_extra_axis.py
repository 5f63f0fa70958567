"""Autoencoder of spectrograms: the outputs have an axis of length 1 that the inputs don't have.

Source: github.com/auspicious3000/autovc pull request 94.
The squared error compares each output with every input of the batch. The best output is then the mean, whatever the input.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="prediction",
    cause="loss_shapes_broadcast",
    symptoms=("wiring", "plateau", "mean_regression", "trivial_baseline"),
    spoils="reconstructions",
    source="auspicious3000/autovc#94",
)


def block(a: int, b: int) -> nn.Sequential:
    """Return a convolution over time with batch normalisation."""
    return nn.Sequential(nn.Conv1d(a, b, 5, padding=2), nn.BatchNorm1d(b), nn.ReLU())


class Generator(nn.Module):
    """Content encoder, decoder and postnet: (n, T, 16) and speakers (n, 2) -> two outputs (n, 1, T, 16) and the codes."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(block(18, 32), block(32, 32), nn.Conv1d(32, 16, 1))
        self.decoder = nn.Sequential(block(18, 48), block(48, 48), nn.Conv1d(48, 16, 1))
        self.postnet = nn.Sequential(nn.Conv1d(16, 32, 5, padding=2), nn.Tanh(), nn.Conv1d(32, 16, 5, padding=2))

    def forward(self, x: Tensor, c_org: Tensor, c_trg: Tensor | None) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Return the outputs and the codes, or the codes alone."""
        x = x.squeeze(1).transpose(1, 2)
        codes = self.encoder(torch.cat([x, c_org[:, :, None].expand(-1, -1, x.shape[2])], 1))[:, :, ::4]
        if c_trg is None:
            return codes.flatten(1)
        up = codes.repeat_interleave(4, 2)
        mel = self.decoder(torch.cat([up, c_trg[:, :, None].expand(-1, -1, up.shape[2])], 1))
        post = mel + self.postnet(mel)
        return mel.transpose(1, 2).unsqueeze(1), post.transpose(1, 2).unsqueeze(1), codes.flatten(1)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(0)
    # Two speakers: sprites and emoji in grey, columns as time.
    sprites, emoji = images("sprites").mean(1), images("emoji")[:949].mean(1)
    x, speaker = torch.cat([sprites, emoji]), torch.eye(2).repeat_interleave(949, 0)
    G = Generator()
    g_optimizer = torch.optim.Adam(G.parameters(), 1e-3)
    watch = trainwright.watch(total=600)
    for step, chosen in zip(range(600), batches(torch.arange(len(x)), 32), strict=False):
        x_real, emb_org = x[chosen], speaker[chosen]
        x_identic, x_identic_psnt, code_real = G(x_real, emb_org, emb_org)
        if fixed:
            x_identic, x_identic_psnt = x_identic.squeeze(1), x_identic_psnt.squeeze(1)
        g_loss_id = F.mse_loss(x_real, x_identic)
        g_loss_id_psnt = F.mse_loss(x_real, x_identic_psnt)
        code_reconst = G(x_identic_psnt, emb_org, None)
        g_loss_cd = F.l1_loss(code_real, code_reconst)
        g_loss = g_loss_id + g_loss_id_psnt + 0.1 * g_loss_cd
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
        watch(step, loss_id=g_loss_id, loss_id_psnt=g_loss_id_psnt, loss_cd=g_loss_cd)
    return watch
