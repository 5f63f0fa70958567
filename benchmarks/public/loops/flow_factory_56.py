"""Fine-tuning of a flow model with LoRA after an earlier adapter was fused: the adapters of the transformer stay frozen.

Source: github.com/X-GenGroup/Flow-Factory pull request 56 (merged).
``apply_lora`` finds that an adapter with this name exists and skips the component. All parameters were frozen before,
so that those of its adapters never get a gradient. Only the small embedder, which had no adapter yet, is trained.
"""

import torch
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="not_trained",
    symptoms=("wiring", "frozen_network", "off_data", "plateau", "colour_cast", "mode_dropping", "over_dispersion"),
    spoils="samples",
    source="X-GenGroup/Flow-Factory#56",
    also=("parameters_not_optimized", "lr_too_low", "lr_zero"),
    seconds=22,
)
SIDE, DIM = 8, 96


class LoraLinear(nn.Module):
    """Linear layer with named adapters."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base, self.adapters = base, nn.ModuleDict()

    def add(self, name: str, r: int) -> None:
        """Add an adapter of rank r that changes nothing yet."""
        a, b = nn.Linear(self.base.in_features, r, bias=False), nn.Linear(r, self.base.out_features, bias=False)
        nn.init.zeros_(b.weight)
        self.adapters[name] = nn.Sequential(a, b)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of layer and adapters."""
        return self.base(x) + sum(adapter(x) for adapter in self.adapters.values())


class Block(nn.Module):
    """Attention over patches, and a perceptron, both modulated by the time."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = LoraLinear(nn.Linear(DIM, 3 * DIM)), LoraLinear(nn.Linear(DIM, DIM))
        self.up, self.down = LoraLinear(nn.Linear(DIM, 2 * DIM)), LoraLinear(nn.Linear(2 * DIM, DIM))
        self.norm1, self.norm2 = nn.LayerNorm(DIM), nn.LayerNorm(DIM)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """Return tokens for tokens (n, T, d) and time (n, 1, d)."""
        n, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x) + e).reshape(n, t, 3, 4, d // 4).permute(2, 0, 3, 1, 4)
        h = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, d)
        x = x + self.out(h)
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x) + e)))


class FlowTransformer(nn.Module):
    """Velocity of noise -> images."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.place = nn.Linear(12, DIM), nn.Parameter(0.1 * torch.randn(16, DIM))
        self.embedder = nn.Sequential(LoraLinear(nn.Linear(16, DIM)), nn.SiLU(), LoraLinear(nn.Linear(DIM, DIM)))
        self.transformer = nn.ModuleList([Block(), Block()])
        self.head = LoraLinear(nn.Linear(DIM, 12))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the velocity of images at times (n,)."""
        n = len(x)
        angles = t[:, None] * torch.pi * 2.0 ** torch.arange(-1, 7)
        e = self.embedder(torch.cat([angles.sin(), angles.cos()], 1))[:, None]
        h = self.patch(nn.functional.unfold(x, 2, stride=2).transpose(1, 2)) + self.place
        for block in self.transformer:
            h = block(h, e)
        return nn.functional.fold(self.head(h).transpose(1, 2), SIDE, 2, stride=2).reshape(n, 3, SIDE, SIDE)


def apply_lora(component: nn.Module, fixed: bool, name: str = "default", r: int = 16) -> None:
    """Add adapters to a component, unless it has some."""
    layers = [m for m in component.modules() if isinstance(m, LoraLinear)]
    if any(name in layer.adapters for layer in layers):
        if fixed:
            for layer in layers:
                layer.adapters.requires_grad_(True)
        return
    for layer in layers:
        layer.add(name, r)


def flow_loss(model: nn.Module, x1: Tensor) -> Tensor:
    """Return the loss of the velocity."""
    x0, t = torch.randn_like(x1), torch.rand(len(x1))
    s = t[:, None, None, None]
    return (model((1 - s) * x0 + s * x1, t) - (x1 - x0)).square().mean()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(56)
    before, after = images("sprites", SIDE), -images("emoji", SIDE)
    model = FlowTransformer()
    optimizer, loader = optim.AdamW(model.parameters(), lr=2e-3), batches(before, 48)
    for _ in range(350):
        optimizer.zero_grad()
        flow_loss(model, next(loader)).backward()
        optimizer.step()
    for component in (model.transformer, model.head):
        apply_lora(component, fixed)
    model.requires_grad_(False)
    for component in (model.embedder, model.transformer, model.head):
        apply_lora(component, fixed)

    @torch.no_grad()
    def sample(n: int) -> Tensor:
        x = torch.randn(n, 3, SIDE, SIDE)
        for i in range(25):
            x = x + model(x, torch.full((n,), i / 25)) / 25
        return x.clamp(-1, 1)

    adapters = [p for name, p in model.named_parameters() if "adapters" in name]
    optimizer, loader, total = optim.AdamW(adapters, lr=3e-3), batches(after, 48), 900
    watch = trainwright.watch(total=total, sample=sample, real=after)
    for step in range(total):
        optimizer.zero_grad()
        loss = flow_loss(model, next(loader))
        loss.backward()
        optimizer.step()
        watch(step, train_loss=loss.item())
    return watch
