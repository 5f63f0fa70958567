"""VAE of short strings with a bidirectional GRU: the last hidden states are reshaped without moving the batch axis first.

Source: github.com/PaccMann/paccmann_chemistry issue 5, closed.
Each code is made of the states of two other strings. Codes say nothing about their string, and reconstructions are other strings.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, names
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="variational",
    cause="batch_time_swapped",
    symptoms=("wiring", "posterior_collapse", "plateau", "overfitting"),
    spoils="reconstructions",
    source="PaccMann/paccmann_chemistry#5",
    also=("data_layout",),
    seconds=35,
)

PARAMS: dict[str, Any] = {
    "latent_dim": 24,
    "rnn_cell_size": 96,
    "embedding_size": 24,
    "n_layers": 1,
    "input_keep": 0.5,
    "kl_growth": 0.002,
    "kl_max": 0.3,
    "batch_size": 64,
    "lr": 2e-3,
}


class GRUEncoder(nn.Module):
    """Strings to means and log-variances."""

    def __init__(self, vocab_size: int, params: dict[str, Any]) -> None:
        super().__init__()
        self.n_layers, self.n_directions, self.rnn_cell_size = params["n_layers"], 2, params["rnn_cell_size"]
        self.embedding = nn.Embedding(vocab_size, params["embedding_size"])
        self.gru = nn.GRU(params["embedding_size"], self.rnn_cell_size, self.n_layers, bidirectional=True)
        self.hidden_to_mu = nn.Linear(2 * self.rnn_cell_size, params["latent_dim"])
        self.hidden_to_logvar = nn.Linear(2 * self.rnn_cell_size, params["latent_dim"])
        self.permute = False

    def _post_gru_reshape(self, hidden: Tensor) -> Tensor:
        batch_size = hidden.shape[1]
        # layers x directions x batch x cell size
        hidden = hidden.view(self.n_layers, self.n_directions, batch_size, self.rnn_cell_size)[-1]
        if self.permute:
            hidden = hidden.permute(1, 0, 2)
        return hidden.reshape(batch_size, self.n_directions * self.rnn_cell_size)

    def encoder_train_step(self, input_seq: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of strings (length, n)."""
        _, hidden = self.gru(self.embedding(input_seq))
        hidden = self._post_gru_reshape(hidden)
        return self.hidden_to_mu(hidden), self.hidden_to_logvar(hidden)


class GRUDecoder(nn.Module):
    """Codes to strings, with teacher forcing."""

    def __init__(self, vocab_size: int, params: dict[str, Any]) -> None:
        super().__init__()
        self.start, size = vocab_size, params["embedding_size"]
        self.embedding = nn.Embedding(vocab_size + 1, size)
        self.latent_to_hidden = nn.Linear(params["latent_dim"], params["rnn_cell_size"])
        self.gru = nn.GRU(size + params["latent_dim"], params["rnn_cell_size"])
        self.output_layer = nn.Linear(params["rnn_cell_size"], vocab_size)
        self.keep = params["input_keep"]

    def decoder_train_step(self, latent_z: Tensor, target_seq: Tensor) -> Tensor:
        """Return the cross-entropy in nats per string."""
        start = torch.full_like(target_seq[:1], self.start)
        given = torch.cat([start, target_seq[:-1]])
        given = torch.where(torch.rand(given.shape) < self.keep, given, self.start)
        x = torch.cat([self.embedding(given), latent_z.expand(len(given), -1, -1)], 2)
        output, _ = self.gru(x, self.latent_to_hidden(latent_z)[None])
        logits = self.output_layer(output)
        loss = F.cross_entropy(logits.flatten(0, 1), target_seq.flatten(), ignore_index=0, reduction="sum")
        return loss / target_seq.shape[1]

    @torch.no_grad()
    def generate_from_latent(self, latent_z: Tensor, generate_len: int) -> Tensor:
        """Return strings (n, length), zero after their end."""
        token, hidden = torch.full((len(latent_z),), self.start), self.latent_to_hidden(latent_z)[None]
        done, generated = torch.zeros(len(latent_z), dtype=torch.bool), []
        for _ in range(generate_len):
            output, hidden = self.gru(torch.cat([self.embedding(token), latent_z], 1)[None], hidden)
            logits = self.output_layer(output[0])
            logits[:, 0] = -1e9
            token = torch.multinomial(logits.softmax(1), 1)[:, 0].masked_fill(done, 0)
            generated.append(token)
            done = done | (token == 1)
        return torch.stack(generated, 1)


class TeacherVAE(nn.Module):
    """Encoder and decoder."""

    def __init__(self, encoder: GRUEncoder, decoder: GRUDecoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, input_seq: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss of the decoder, mean and log-variance."""
        mu, logvar = self.encoder.encoder_train_step(input_seq)
        latent_z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return self.decoder.decoder_train_step(latent_z, input_seq), mu, logvar


def vae_loss_function(decoder_loss: Tensor, mu: Tensor, logvar: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Return the loss with a growing weight of the KL, and the KL."""
    kl_div = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), 1).mean()
    return decoder_loss + min(PARAMS["kl_max"], PARAMS["kl_growth"] * step) * kl_div, kl_div


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(5)
    data, letters = names()
    valid, train = data[:128], data[128:]
    model = TeacherVAE(GRUEncoder(len(letters), PARAMS), GRUDecoder(len(letters), PARAMS))
    model.encoder.permute = fixed
    optimizer = torch.optim.Adam(model.parameters(), lr=PARAMS["lr"])

    def sample(n: int) -> Tensor:
        return model.decoder.generate_from_latent(torch.randn(n, PARAMS["latent_dim"]), data.shape[1])

    total, valid_loss = 1300, None
    watch = trainwright.watch(total=total, sample=sample, real=data)
    for step, batch in zip(range(total), batches(train, PARAMS["batch_size"]), strict=False):
        decoder_loss, mu, logvar = model(batch.T)
        loss, kl_div = vae_loss_function(decoder_loss, mu, logvar, step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        if step % 100 == 0:
            model.eval()
            with torch.no_grad():
                valid_loss = vae_loss_function(*model(valid.T), step)[0].item()
            model.train()
        watch(step, loss=loss, decoder_loss=decoder_loss, kl_div=kl_div, valid_loss=valid_loss)
    return watch
