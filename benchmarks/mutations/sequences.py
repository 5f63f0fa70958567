"""A transformer of letters in a plain loop, an LSTM with a class, and the forecast of a series."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.materials import batches, levels, names
from trainwright.diagnosis.watch import Watch

LETTERS: dict[str, tuple[str, ...]] = {
    "targets_not_shifted": ("targets_in_input", "targets_misaligned"),
    "shifted_by_two": ("targets_misaligned",),
    "no_mask": ("targets_in_input",),
    "padding_in_loss": ("padding_in_loss",),
    "softmax_before_loss": ("sigmoid_twice",),
    "batch_and_time_swapped": ("batch_time_swapped",),
    "sampled_with_dropout": ("batch_statistics_when_sampling", "dropout_when_sampling"),
    "sampled_greedily": ("sampling_without_noise",),
    "sampled_hot": ("temperature",),
    "no_positions": ("positions_missing", "conditioning_ignored"),
    "logits_viewed": ("data_layout",),
    "lr_high": ("lr_too_high",),
    "lr_low": ("lr_too_low",),
    "clip_tiny": ("clipping_too_tight",),
    "loss_detached": ("not_trained",),
    "head_not_optimized": ("parameters_not_optimized",),
    "never_cleared": ("gradients_not_cleared",),
    "cleared_after_backward": ("accumulated_gradients_cleared", "optimizer_never_steps", "not_trained"),
    "warmup_never_ends": ("schedule_out_of_reach", "lr_too_low", "lr_zero"),
    "targets_of_other_rows": ("targets_misaligned", "labels_mismatched"),
    "same_batch": ("same_batch_every_step",),
}


class GPT(nn.Module):
    """Ids (n, length) -> logits (n, length, letters)."""

    def __init__(self, vocab: int, length: int, fault: str, width: int = 48) -> None:
        """Make the layers."""
        super().__init__()
        self.fault = fault
        self.tok_emb, self.pos_emb = nn.Embedding(vocab, width), nn.Embedding(length, width)
        layer = nn.TransformerEncoderLayer(
            width, 4, 96, dropout=0.3 if fault == "sampled_with_dropout" else 0.0, batch_first=True
        )
        if fault == "batch_and_time_swapped":
            layer = nn.TransformerEncoderLayer(width, 4, 96, dropout=0.0)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, vocab)

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return logits and, for targets, their loss."""
        h = self.tok_emb(idx)
        if self.fault != "no_positions":
            h = h + self.pos_emb(torch.arange(idx.shape[1]))
        size = len(idx) if self.fault == "batch_and_time_swapped" else idx.shape[1]
        mask = None if self.fault == "no_mask" else torch.triu(torch.ones(size, size, dtype=torch.bool), 1)
        logits = self.head(self.blocks(h, mask=mask))
        if targets is None:
            return logits, None
        out = logits.softmax(-1) if self.fault == "softmax_before_loss" else logits
        ignore = -100 if self.fault == "padding_in_loss" else 0
        if self.fault == "logits_viewed":
            return logits, F.cross_entropy(out.reshape(len(out), out.shape[2], -1), targets, ignore_index=ignore)
        return logits, F.cross_entropy(out.reshape(-1, out.shape[-1]), targets.reshape(-1), ignore_index=ignore)


def letters(fault: str) -> Watch:
    """Train a transformer of names."""
    torch.manual_seed(0)
    length = 48 if fault == "padding_in_loss" else 20
    ids, alphabet = names(length)
    ids = torch.cat([torch.ones(len(ids), 1, dtype=torch.long), ids], 1)
    model = GPT(len(alphabet), length + 1, fault)
    lr = {"lr_high": 0.5, "lr_low": 1e-7}.get(fault, 2e-3)
    held = [
        p
        for n, p in model.named_parameters()
        if not (fault == "head_not_optimized" and n.startswith(("head", "blocks")))
    ]
    opt = torch.optim.AdamW(held, lr=lr)
    max_iters = 250
    warmup = 10**6 if fault == "warmup_never_ends" else 20
    sched = torch.optim.lr_scheduler.LambdaLR(opt, lambda i: min(1.0, (i + 1) / warmup))

    @torch.no_grad()
    def generate(n: int) -> Tensor:
        if fault != "sampled_with_dropout":
            model.eval()
        idx = torch.ones(n, 1, dtype=torch.long)
        for _ in range(length):
            logits = model(idx)[0][:, -1]
            if fault == "sampled_greedily":
                new = logits.argmax(-1, keepdim=True)
            else:
                new = torch.multinomial((logits * (0.2 if fault == "sampled_hot" else 1.0)).softmax(-1), 1)
            idx = torch.cat([idx, new], 1)
        model.train()
        return idx[:, 1:]

    watch = trainwright.watch(total=max_iters, sample=generate, real=ids[:, 1:])
    first = ids[:32]
    for it, batch in zip(range(max_iters), batches(ids, 32), strict=False):
        xb, yb = batch[:, :-1], batch[:, 1:]
        if fault == "same_batch":
            xb, yb = first[:, :-1], first[:, 1:]
        if fault == "targets_not_shifted":
            yb = xb
        if fault == "shifted_by_two":
            xb, yb = batch[:, :-2], batch[:, 2:]
        if fault == "targets_of_other_rows":
            yb = yb[torch.randperm(len(yb))]
        _, loss = model(xb, yb)
        assert loss is not None
        if fault == "loss_detached":
            loss = loss.detach().requires_grad_()
        if fault not in ("never_cleared", "cleared_after_backward"):
            opt.zero_grad(set_to_none=True)
        loss.backward()
        if fault == "cleared_after_backward":
            opt.zero_grad(set_to_none=False)
        if fault == "clip_tiny":
            nn.utils.clip_grad_norm_(model.parameters(), 1e-10)
        opt.step()
        sched.step()
        watch(it, train_loss=loss.item())
    return watch


RECURRENT: dict[str, tuple[str, ...]] = {
    "state_carried": ("hidden_state_carried",),
    "targets_not_shifted": ("targets_in_input", "targets_misaligned"),
    "output_viewed": ("data_layout", "batch_time_swapped"),
    "batch_first_forgotten": ("batch_time_swapped",),
    "log_softmax_and_cross_entropy": ("sigmoid_twice",),
    "nll_of_logits": ("loss_expects_probabilities",),
    "only_last_output": ("loss_mask_wrong", "term_left_out"),
    "hot": ("temperature",),
    "lr_high": ("lr_too_high",),
    "sgd_tiny": ("lr_too_low",),
    "bidirectional": ("targets_in_input",),
    "zero_grad_missing": ("gradients_not_cleared",),
    "embedding_frozen": ("not_trained",),
    "optimizer_before_head": ("parameters_not_optimized",),
}


class CharRNN(nn.Module):
    """LSTM over letters."""

    def __init__(self, n_chars: int, fault: str, hidden_size: int = 64) -> None:
        """Make the layers."""
        super().__init__()
        self.fault, both = fault, fault == "bidirectional"
        self.encoder = nn.Embedding(n_chars, 24)
        self.encoder.weight.requires_grad_(fault != "embedding_frozen")
        self.rnn = nn.LSTM(24, hidden_size, batch_first=fault != "batch_first_forgotten", bidirectional=both)
        self.decoder = nn.Linear(hidden_size * (2 if both else 1), n_chars)

    def forward(self, inp: Tensor, hidden: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return logits and state."""
        out, hidden = self.rnn(self.encoder(inp), hidden)
        return self.decoder(out), hidden


def recurrent(fault: str) -> Watch:
    """Train an LSTM on rows of levels."""
    torch.manual_seed(0)
    data, alphabet = levels(16)
    decoder = CharRNN(len(alphabet), fault)
    parameters = list(decoder.parameters())
    if fault == "optimizer_before_head":
        decoder.decoder = nn.Linear(64, len(alphabet))
    if fault == "sgd_tiny":
        decoder_optimizer: torch.optim.Optimizer = torch.optim.SGD(parameters, lr=1e-7)
    else:
        decoder_optimizer = torch.optim.Adam(parameters, lr=0.5 if fault == "lr_high" else 3e-3)
    criterion = nn.NLLLoss() if fault == "nll_of_logits" else nn.CrossEntropyLoss()
    n_epochs = 300
    hidden: tuple[Tensor, Tensor] | None = None

    def train(inp: Tensor, target: Tensor) -> float:
        nonlocal hidden
        if fault != "zero_grad_missing":
            decoder.zero_grad()
        output, state = decoder(inp, hidden if fault == "state_carried" else None)
        hidden = (state[0].detach(), state[1].detach())
        if fault == "log_softmax_and_cross_entropy":
            output = output.softmax(-1)
        if fault == "output_viewed":
            loss = criterion(output.reshape(len(alphabet), -1).T, target.reshape(-1))
        elif fault == "only_last_output":
            loss = criterion(output[:, -1], target[:, -1])
        else:
            loss = criterion(output.reshape(-1, len(alphabet)), target.reshape(-1))
        loss.backward()
        decoder_optimizer.step()
        return loss.item()

    @torch.no_grad()
    def generate(n: int) -> Tensor:
        x, state, out = data[torch.randint(len(data), (n,)), :1], None, []
        for _ in range(16):
            out.append(x)
            logits, state = decoder(x, state)
            p = (logits[:, -1] / (6.0 if fault == "hot" else 1.0)).softmax(-1)
            x = torch.multinomial(p, 1)
        return torch.cat(out, 1)

    watch = trainwright.watch(total=n_epochs, sample=generate, real=data)
    for epoch, chunk in zip(range(n_epochs), batches(data, 32), strict=False):
        target = chunk[:, :-1] if fault == "targets_not_shifted" else chunk[:, 1:]
        watch(epoch, loss=train(chunk[:, :-1], target))
    return watch


FORECAST: dict[str, tuple[str, ...]] = {
    "broadcast": ("loss_shapes_broadcast",),
    "target_in_window": ("targets_in_input",),
    "target_is_last_value": ("targets_in_input", "copies_last_frame", "targets_misaligned"),
    "target_unscaled": ("data_range", "data_not_scaled"),
    "batch_and_time_swapped": ("batch_time_swapped",),
    "relu_output": ("output_activation", "data_range"),
    "sigmoid_output": ("output_activation", "data_range"),
    "targets_shuffled": ("labels_mismatched",),
    "state_carried": ("hidden_state_carried",),
    "lr_high": ("lr_too_high",),
    "not_shuffled": ("data_not_shuffled",),
    "input_zeroed": ("input_repeated", "conditioning_ignored"),
    "all_frozen_but_bias": ("not_trained", "parameters_not_optimized"),
    "window_viewed": ("data_layout",),
}


class Forecaster(nn.Module):
    """Windows (n, 24, 2) -> next values (n, 1)."""

    def __init__(self, fault: str) -> None:
        """Make the layers."""
        super().__init__()
        self.fault = fault
        self.lstm = nn.LSTM(2, 32, batch_first=fault != "batch_and_time_swapped")
        self.linear = nn.Linear(32, 1)
        self.state: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return the forecast."""
        if self.fault == "window_viewed":
            x = x.permute(0, 2, 1).contiguous().view(x.shape)
        if self.fault == "input_zeroed":
            x = torch.zeros_like(x)
        carried = self.fault == "state_carried" and self.state is not None and self.state[0].shape[1] == len(x)
        out, state = self.lstm(x, self.state if carried else None)
        self.state = (state[0].detach(), state[1].detach())
        y = self.linear(out[:, -1])
        if self.fault == "relu_output":
            y = F.relu(y)
        return torch.sigmoid(y) if self.fault == "sigmoid_output" else y


def forecast(fault: str) -> Watch:
    """Train a forecast of two series."""
    torch.manual_seed(0)
    t = torch.arange(3000.0)
    series = torch.stack(
        [torch.sin(2 * math.pi * t / 24) + 0.5 * torch.sin(2 * math.pi * t / 168), torch.cos(2 * math.pi * t / 37)], 1
    )
    series = series + 0.05 * torch.randn_like(series)
    windows = series.unfold(0, 25, 1).permute(0, 2, 1)
    X, y = windows[:, :24], windows[:, 24, :1]
    if fault == "target_in_window":
        X = windows[:, 1:25]
    if fault == "target_is_last_value":
        y = windows[:, 23, :1]
    if fault == "target_unscaled":
        y = y * 400 + 2000
    if fault == "targets_shuffled":
        y = y[torch.randperm(len(y))]
    if fault == "broadcast":
        y = y[:, 0]
    train_X, train_y, val_X, val_y = X[:2400].contiguous(), y[:2400], X[2450:].contiguous(), y[2450:]
    model = Forecaster(fault)
    if fault == "all_frozen_but_bias":
        for n, p in model.named_parameters():
            p.requires_grad_(n == "linear.bias")
    optimizer = torch.optim.Adam(
        [p for p in model.parameters() if p.requires_grad], lr=1.0 if fault == "lr_high" else 3e-3
    )
    loss_fn, steps = nn.MSELoss(), 400
    watch = trainwright.watch(total=steps)
    order = batches(torch.arange(len(train_X)), 64)
    for step in range(steps):
        i = torch.arange(step * 64, step * 64 + 64) % len(train_X) if fault == "not_shuffled" else next(order)
        loss = loss_fn(model(train_X[i]), train_y[i])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 49:
            with torch.no_grad():
                watch(step, train_loss=loss.item(), val_loss=loss_fn(model(val_X), val_y).item())
        else:
            watch(step, train_loss=loss.item())
    return watch


LOOPS = {"letters": (letters, LETTERS), "recurrent": (recurrent, RECURRENT), "forecast": (forecast, FORECAST)}
