"""Robot policy with discrete diffusion: the actions are returned in normalized units.

Source: github.com/DreamLM/Dream-VLX pull request 8 (merged).
Actions are scaled to [-1, 1] by quantiles and cut into tokens. The other head turns its output back into millimetres
and degrees; the branch of discrete diffusion returns the middles of the bins as they are.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="diffusion",
    cause="output_not_unnormalized",
    symptoms=("wiring", "off_data", "variance_collapse", "mode_dropping", "worse_than_baseline", "mode_collapse"),
    spoils="samples",
    source="DreamLM/Dream-VLX#8",
    also=("data_range", "latents_not_scaled", "representation", "latent_not_scaled"),
    seconds=12,
)
CHUNK, DIMS, BINS, STEPS, WIDTH = 4, 3, 32, 12, 64
TOKENS, MASK = CHUNK * DIMS, BINS


def demonstrations(n: int = 4000) -> tuple[Tensor, Tensor]:
    """Return observations (n, 4) and chunks of 4 actions (n, 12): x and y in millimetres, and an angle in degrees."""
    g = torch.Generator().manual_seed(8)
    hand, goal = torch.rand(n, 2, generator=g) * 200, torch.rand(n, 2, generator=g) * 200
    side = (torch.randint(0, 2, (n, 1), generator=g) * 2.0 - 1) * 15
    way = goal - hand
    across = side * torch.stack([-way[:, 1], way[:, 0]], 1) / (way.norm(dim=1, keepdim=True) + 1)
    k = torch.linspace(0.25, 1, CHUNK)[None, :, None]
    position = hand[:, None] + k * way[:, None] + torch.sin(k * torch.pi) * across[:, None]
    angle = torch.atan2(way[:, 1], way[:, 0]).rad2deg()[:, None, None] + 4 * torch.randn(n, CHUNK, 1, generator=g)
    return torch.cat([hand, goal], 1) / 100 - 1, torch.cat([position, angle], 2).flatten(1)


class Policy(nn.Module):
    """Transformer that fills in masked tokens of actions."""

    def __init__(self, low: Tensor, high: Tensor) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.tokens, self.observe = nn.Embedding(BINS + 1, WIDTH), nn.Linear(4, WIDTH)
        self.place = nn.Parameter(torch.randn(TOKENS + 1, WIDTH) * 0.3)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 128, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(WIDTH, BINS)

    def forward(self, obs: Tensor, tokens: Tensor) -> Tensor:
        """Return logits (n, 12, bins)."""
        x = torch.cat([self.observe(obs)[:, None], self.tokens(tokens)], 1) + self.place
        return self.head(self.encoder(x)[:, 1:])

    def tokenize(self, actions: Tensor) -> Tensor:
        """Return the bins of actions."""
        normalized = ((actions - self.low) / (self.high - self.low) * 2 - 1).clamp(-1, 1)
        return ((normalized + 1) / 2 * BINS).long().clamp(max=BINS - 1)

    def unnormalize_actions(self, normalized: Tensor) -> Tensor:
        """Return actions in their units."""
        return (normalized + 1) / 2 * (self.high - self.low) + self.low

    @torch.no_grad()
    def predict_action(self, obs: Tensor, fixed: bool) -> Tensor:
        """Fill in all tokens, a few in every step."""
        n = len(obs)
        tokens, order = torch.full((n, TOKENS), MASK), torch.rand(n, TOKENS).argsort(1)
        for chosen in order.chunk(STEPS, 1):
            drawn = torch.multinomial(self(obs, tokens).softmax(-1).flatten(0, 1), 1).view(n, TOKENS)
            tokens = tokens.scatter(1, chosen, drawn.gather(1, chosen))
        normalized = (tokens + 0.5) / BINS * 2 - 1
        return self.unnormalize_actions(normalized) if fixed else normalized


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(8)
    obs, actions = demonstrations()
    model = Policy(actions.quantile(0.01, 0), actions.quantile(0.99, 0))
    data = torch.cat([obs, model.tokenize(actions).float()], 1)
    optimizer, loader, total = optim.AdamW(model.parameters(), lr=1e-3), batches(data, 64), 1000
    watch = trainwright.watch(total=total, sample=lambda n: model.predict_action(obs[:n], fixed), real=actions)
    for step in range(total):
        batch = next(loader)
        tokens = batch[:, 4:].long()
        masked = torch.rand_like(batch[:, 4:]) < torch.rand(len(batch), 1).clamp(min=0.1)
        logits = model(batch[:, :4], tokens.masked_fill(masked, MASK))
        loss = F.cross_entropy(logits[masked], tokens[masked])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch(step, loss=loss.item())
    return watch
