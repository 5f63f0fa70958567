"""Regression of tables: a column of targets is compared with a vector of predictions.

Source: github.com/LAMDA-Tabular/TALENT pull request 92, merged.
The mean squared error of (n, 1) and (n,) is one over all pairs. Its minimum is the mean of the targets for every row.
"""

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="loss_shapes_broadcast",
    symptoms=("wiring", "plateau", "trivial_baseline", "mean_regression", "variance_collapse"),
    spoils="training",
    source="LAMDA-Tabular/TALENT#92",
    seconds=8,
)


class TabularMLP(nn.Module):
    """Perceptron on numerical features."""

    def __init__(self, d_in: int, d_layers: tuple[int, ...] = (256, 256), dropout: float = 0.1) -> None:
        super().__init__()
        widths = (d_in, *d_layers)
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False)])
        self.head, self.dropout = nn.Linear(widths[-1], 1), dropout

    def forward(self, x_num: Tensor) -> Tensor:
        """Return (n,)."""
        x = x_num
        for layer in self.layers:
            x = F.dropout(layer(x).relu(), self.dropout, self.training)
        return self.head(x).squeeze(-1)


class MLPMethod:
    """Fits the network to a table."""

    def __init__(self, N: Tensor, y: Tensor, fixed: bool) -> None:
        self.y_info = {"mean": y.mean(), "std": y.std()}
        self.N, self.y = N, ((y - self.y_info["mean"]) / self.y_info["std"])[:, None]
        self.fixed = fixed
        self.model = TabularMLP(N.shape[1])
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=1e-5)

    def criterion(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss."""
        if self.fixed:
            y_true = y_true.reshape(y_pred.shape)
        return F.mse_loss(y_true, y_pred)

    def train_step(self, index: Tensor) -> float:
        """Do one step."""
        self.model.train()
        loss = self.criterion(self.y[index], self.model(self.N[index]))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    @torch.no_grad()
    def validate(self, N: Tensor, y: Tensor) -> float:
        """Return the root of the mean squared error in the units of y."""
        self.model.eval()
        predicted = self.model(N) * self.y_info["std"] + self.y_info["mean"]
        return (predicted - y).square().mean().sqrt().item()


def table(n: int) -> tuple[Tensor, Tensor]:
    """Return features (n, 12) and targets (n,)."""
    x = torch.randn(n, 12)
    y = 20 + 6 * x[:, 0] * x[:, 1] + 5 * (2 * x[:, 2]).sin() + 4 * x[:, 3] - 3 * (x[:, 4] > 0.5).float()
    return x, y + 0.5 * torch.randn(n)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    warnings.filterwarnings("ignore", message="Using a target size")
    torch.manual_seed(92)
    (N, y), (N_val, y_val) = table(8000), table(1000)
    method = MLPMethod(N, y, fixed)
    total = 5000
    watch = trainwright.watch(total=total)
    rmse = None
    for step, index in zip(range(total), batches(torch.arange(len(N)), 128), strict=False):
        loss = method.train_step(index)
        if step % 100 == 99:
            rmse = method.validate(N_val, y_val)
        watch(step, loss=loss, val_rmse=rmse)
    return watch
