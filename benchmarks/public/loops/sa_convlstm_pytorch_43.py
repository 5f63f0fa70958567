"""ConvLSTM on moving digits: the frames have values from 0 to 255, the output is a sigmoid.

Source: github.com/tsugumi-sys/SA-ConvLSTM-Pytorch issue 43; the owner then divided the frames by 255.
A pixel that is bright in one of a hundred frames outweighs the others, so the sigmoid is at 1 wherever a
digit may be: predictions are white, and the loss stays near that of black frames.
"""

from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="prediction",
    cause="data_range",
    symptoms=(
        "wiring",
        "off_data",
        "colour_cast",
        "plateau",
        "blur",
        "mode_collapse",
        "mode_dropping",
        "trivial_baseline",
        "variance_collapse",
    ),
    spoils="samples",
    source="tsugumi-sys/SA-ConvLSTM-Pytorch#43",
    also=("output_activation",),
    seconds=20,
)
DIGITS = ("01110 10001 10001 10001 01110", "00100 01100 00100 00100 01110", "11110 00001 01110 10000 11111",
          "11110 00001 00110 00001 11110", "10010 10010 11111 00010 00010", "11111 10000 11110 00001 11110",
          "11111 00001 00010 00100 00100", "01110 10001 01110 10001 01110")  # fmt: skip


class ConvLSTMParams(TypedDict):
    """Sizes of a layer."""

    in_channels: int
    kernel_size: int
    out_channels: int


class MovingDigits(Dataset):
    """Clips of a digit that bounces off the borders: (frames, 1, side, side), bytes."""

    def __init__(self, n: int, frames: int = 6, side: int = 14, transform: nn.Module | None = None) -> None:
        self.transform = transform
        g = torch.Generator().manual_seed(43)
        glyphs = torch.tensor([[[int(c) for c in row] for row in d.split()] for d in DIGITS], dtype=torch.uint8) * 255
        self.clips = torch.zeros(n, frames, 1, side, side, dtype=torch.uint8)
        for clip in self.clips:
            glyph = glyphs[torch.randint(len(glyphs), (), generator=g)]
            y, x = torch.randint(side - 5, (2,), generator=g).tolist()
            dy, dx = (torch.randint(2, (2,), generator=g) * 2 - 1).tolist()
            for frame in clip:
                frame[0, y : y + 5, x : x + 5] = glyph
                dy, dx = (-dy if not 0 <= y + dy <= side - 5 else dy), (-dx if not 0 <= x + dx <= side - 5 else dx)
                y, x = y + dy, x + dx

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.clips)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        """Return input frames and the frame after them."""
        clip = self.clips[i].float()
        if self.transform is not None:
            clip = self.transform(clip)
        return clip[:-1], clip[-1]


class Scale(nn.Module):
    """Brings bytes to 0 to 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled frames."""
        return x / 255.0


class ConvLSTM(nn.Module):
    """Layer that returns the hidden states of all frames."""

    def __init__(self, in_channels: int, kernel_size: int, out_channels: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.conv = nn.Conv2d(in_channels + out_channels, 4 * out_channels, kernel_size, padding="same")

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, frames, out_channels, height, width)."""
        h = c = x.new_zeros(len(x), self.out_channels, *x.shape[-2:])
        outputs = []
        for frame in x.unbind(1):
            i, f, g, o = self.conv(torch.cat([frame, h], 1)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        return torch.stack(outputs, 1)


class Seq2Seq(nn.Module):
    """Layers of ConvLSTM with norms, and a convolution with a sigmoid."""

    def __init__(self, num_layers: int, num_kernels: int, convlstm_params: ConvLSTMParams, frame_size: int) -> None:
        super().__init__()
        self.layers, self.norms = nn.ModuleList(), nn.ModuleList()
        params = dict(convlstm_params)
        for _ in range(num_layers):
            self.layers.append(ConvLSTM(**params))
            self.norms.append(nn.LayerNorm([num_kernels, frame_size, frame_size]))
            params["in_channels"] = num_kernels
        self.conv, self.sigmoid = nn.Conv2d(num_kernels, 1, 3, padding="same"), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Return the next frame."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(layer(x))
        return self.sigmoid(self.conv(x[:, -1]))


class Trainer:
    """Trains and validates."""

    def __init__(self, model: Seq2Seq, train_data: Dataset, valid_data: Dataset, epochs: int) -> None:
        self.model, self.valid_data, self.epochs = model, valid_data, epochs
        self.train_loader = DataLoader(train_data, batch_size=16, shuffle=True)
        self.valid_loader = DataLoader(valid_data, batch_size=50)
        self.loss_criterion, self.optimizer = nn.MSELoss(), torch.optim.Adam(model.parameters(), lr=2e-3)

    @torch.no_grad()
    def predict(self, n: int) -> Tensor:
        """Return predictions for n clips of the validation data."""
        self.model.eval()
        index = torch.randint(len(self.valid_data), (n,)).tolist()
        out = self.model(torch.stack([self.valid_data[i][0] for i in index]))
        self.model.train()
        return out

    @torch.no_grad()
    def validate(self) -> float:
        """Return the loss on the validation data."""
        losses = [self.loss_criterion(self.model(x), y).item() for x, y in self.valid_loader]
        return sum(losses) / len(losses)

    def run(self) -> Watch:
        """Train."""
        labels = torch.stack([self.valid_data[i][1] for i in range(len(self.valid_data))])
        watch = trainwright.watch(total=self.epochs * len(self.train_loader), sample=self.predict, real=labels)
        step = 0
        for _ in range(self.epochs):
            for x, y in self.train_loader:
                self.optimizer.zero_grad()
                loss = self.loss_criterion(self.model(x), y)
                loss.backward()
                self.optimizer.step()
                step += 1
                if step % len(self.train_loader):
                    watch(step - 1, train_loss=loss.item())
                else:
                    watch(step - 1, train_loss=loss.item(), validation_loss=self.validate())
        return watch


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(43)
    data = MovingDigits(1100, transform=Scale() if fixed else None)
    convlstm: ConvLSTMParams = {"in_channels": 1, "kernel_size": 3, "out_channels": 12}
    model = Seq2Seq(num_layers=2, num_kernels=12, convlstm_params=convlstm, frame_size=14)
    return Trainer(model, Subset(data, range(800)), Subset(data, range(800, 1100)), epochs=8).run()
