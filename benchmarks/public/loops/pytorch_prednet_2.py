"""PredNet: frames are fed as bytes of 0 to 255.

Source: github.com/leido/pytorch-prednet issue 2.
Users find large errors and black and white predictions; dividing the frames by 255 brings the errors into the usual range. Outputs of
an LSTM lie within -1 and 1, so weights have to grow very far to reach the brightness of such frames.
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
    cause="data_range",
    symptoms=("wiring", "plateau", "slow", "colour_cast", "exploding", "off_data", "trivial_baseline", "mode_collapse"),
    spoils="samples",
    source="leido/pytorch-prednet#2",
    also=("data_not_scaled",),
    seconds=21,
)


class ConvLSTMCell(nn.Module):
    """One step of a convolutional LSTM."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(inputs + hidden, 4 * hidden, 3, padding=1)

    def forward(self, x: Tensor, hx: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return (h, (h, c))."""
        i, f, o, g = self.gates(torch.cat([x, hx[0]], 1)).chunk(4, 1)
        c = f.sigmoid() * hx[1] + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, (h, c)


class PredNet(nn.Module):
    """PredNet of two layers: (n, T, 3, H, W) -> errors (n, layers, T), or the prediction of the last frame."""

    def __init__(self, R_channels: tuple[int, ...], A_channels: tuple[int, ...], pixel_max: float) -> None:
        super().__init__()
        self.R, self.A, self.n_layers, self.pixel_max = (*R_channels, 0), A_channels, len(A_channels), pixel_max
        layers = range(self.n_layers)
        self.cells = nn.ModuleList([ConvLSTMCell(2 * self.A[i] + self.R[i + 1], self.R[i]) for i in layers])
        self.convs = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(self.R[i], self.A[i], 3, padding=1), nn.ReLU()) for i in layers]
        )
        self.update_A = nn.ModuleList([
            nn.Sequential(nn.Conv2d(2 * self.A[i], self.A[i + 1], 3, padding=1), nn.MaxPool2d(2)) for i in layers[:-1]
        ])  # fmt: skip
        self.upsample = nn.Upsample(scale_factor=2)

    def forward(self, input: Tensor, output_mode: str = "error") -> Tensor:
        """Return errors or the prediction."""
        n, steps, _, height, width = input.shape
        E, R, H = [], [], []
        for i in range(self.n_layers):
            size = (height // 2**i, width // 2**i)
            E.append(input.new_zeros(n, 2 * self.A[i], *size))
            R.append(input.new_zeros(n, self.R[i], *size))
            H.append((R[i], R[i]))
        total_error = []
        for t in range(steps):
            for i in reversed(range(self.n_layers)):
                x = E[i] if i == self.n_layers - 1 else torch.cat([E[i], self.upsample(R[i + 1])], 1)
                R[i], H[i] = self.cells[i](x, H[i])
            A = input[:, t]
            for i in range(self.n_layers):
                A_hat = self.convs[i](R[i])
                if i == 0:
                    A_hat = A_hat.clamp(max=self.pixel_max)
                    frame_prediction = A_hat
                E[i] = torch.cat([F.relu(A_hat - A), F.relu(A - A_hat)], 1)
                if i < self.n_layers - 1:
                    A = self.update_A[i](E[i])
            total_error.append(torch.stack([e.flatten(1).mean(1) for e in E], 1))
        return torch.stack(total_error, 2) if output_mode == "error" else frame_prediction


def drives(n: int, nt: int, side: int = 12) -> Tensor:
    """Return clips (n, nt, 3, side, side) of bytes, as seen by a camera that moves steadily over pictures."""
    pictures = images("emoji", 32, background=255)
    middle = (32 - side) // 2
    clips = torch.zeros(n, nt, 3, side, side)
    for i, picture in enumerate(pictures[torch.randint(len(pictures), (n,))]):
        vy, vx = torch.randint(-2, 3, (2,)).tolist()
        for t in range(nt):
            y, x = middle + vy * (t - nt // 2), middle + vx * (t - nt // 2)
            clips[i, t] = picture[:, y : y + side, x : x + side]
    return (127.5 * (clips + 1)).round()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(2)
    nt = 5
    frames = drives(1600, nt)
    pixel_max = 255.0
    if fixed:
        frames, pixel_max = frames / 255, 1.0
    train, val = frames[:1500], frames[1500:]
    model = PredNet((16, 32), (3, 16), pixel_max)
    layer_loss_weights = torch.tensor([1.0, 0.0])
    time_loss_weights = torch.ones(nt) / (nt - 1)
    time_loss_weights[0] = 0
    num_steps = 600
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [num_steps // 2], 0.3)

    @torch.no_grad()
    def predict(n: int) -> Tensor:
        return model(val[torch.randperm(len(val))[:n]], "prediction")

    watch = trainwright.watch(total=num_steps, sample=predict, real=val[:, -1])
    for step, inputs in zip(range(num_steps), batches(train, 16), strict=False):
        errors = layer_loss_weights @ (model(inputs) @ time_loss_weights).mean(0)
        optimizer.zero_grad()
        errors.backward()
        optimizer.step()
        scheduler.step()
        if step % 10 == 0:
            watch(step, errors=errors.item())
    return watch
