"""Language model with rotary positions and cached keys: the cache of rotations forgets the offset.

Source: github.com/lucidrains/rotary-embedding-torch issue 11 (confirmed and repaired).
Rotations are kept under the length of the sequence only. Training always asks for the same length with offset 0. When
text is written with cached keys, every step asks for length 1 at another offset, and gets the rotation of the first.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, levels
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="position_offset_lost",
    symptoms=("wiring", "off_data", "over_dispersion", "mode_dropping", "variance_collapse", "mode_collapse"),
    spoils="samples",
    source="lucidrains/rotary-embedding-torch#11",
    also=("condition_differs_when_sampling", "hidden_state_lost", "sampling_order_wrong"),
    seconds=12,
)
T, dim, heads = 16, 64, 4


class RotaryEmbedding:
    """Rotations of queries and keys by their place."""

    def __init__(self, d: int, fixed: bool) -> None:
        self.freqs, self.cache, self.fixed = 0.5 ** torch.arange(d // 2), {}, fixed

    def rotate_queries_or_keys(self, t: Tensor, offset: int = 0) -> Tensor:
        """Return rotated (n, heads, length, d)."""
        seq_len = t.shape[-2]
        key = f"freqs:{seq_len}|offset:{offset}" if self.fixed else f"freqs:{seq_len}"
        if key not in self.cache:
            self.cache[key] = (torch.arange(seq_len) + offset)[:, None] * self.freqs
        angles = self.cache[key]
        a, b = t.chunk(2, -1)
        return torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], -1)


class Attention(nn.Module):
    """Causal attention with optional cached keys and values."""

    def __init__(self, rotary: RotaryEmbedding) -> None:
        super().__init__()
        self.rotary, self.to_qkv, self.to_out = rotary, nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim)

    def forward(self, x: Tensor, kv_cache: list[Tensor] | None = None) -> Tensor:
        """Return tokens; the cache is a list [keys, values], changed in place."""
        n, t, _ = x.shape
        q, k, v = self.to_qkv(x).view(n, t, 3, heads, dim // heads).permute(2, 0, 3, 1, 4)
        offset = kv_cache[0].shape[2] if kv_cache else 0
        q, k = self.rotary.rotate_queries_or_keys(q, offset), self.rotary.rotate_queries_or_keys(k, offset)
        if kv_cache is not None:
            if kv_cache:
                k, v = torch.cat([kv_cache[0], k], 2), torch.cat([kv_cache[1], v], 2)
            kv_cache[:] = [k, v]
        out = F.scaled_dot_product_attention(q, k, v, is_causal=t > 1)
        return self.to_out(out.transpose(1, 2).reshape(n, t, dim))


class Transformer(nn.Module):
    """Two layers."""

    def __init__(self, num_tokens: int, fixed: bool) -> None:
        super().__init__()
        rotary = RotaryEmbedding(dim // heads, fixed)
        self.bos, self.token_emb, self.to_logits = (
            num_tokens,
            nn.Embedding(num_tokens + 1, dim),
            nn.Linear(dim, num_tokens),
        )
        self.attns = nn.ModuleList([Attention(rotary), Attention(rotary)])
        self.ffs = nn.ModuleList(
            [nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 128), nn.GELU(), nn.Linear(128, dim)) for _ in range(2)]
        )
        self.norms, self.norm = nn.ModuleList([nn.LayerNorm(dim), nn.LayerNorm(dim)]), nn.LayerNorm(dim)

    def forward(self, x: Tensor, caches: list[list[Tensor]] | None = None) -> Tensor:
        """Return logits."""
        x = self.token_emb(x)
        for i, (attn, ff) in enumerate(zip(self.attns, self.ffs, strict=True)):
            x = x + attn(self.norms[i](x), caches[i] if caches else None)
            x = x + ff(x)
        return self.to_logits(self.norm(x))

    @torch.no_grad()
    def generate(self, n: int) -> Tensor:
        """Draw rows with cached keys."""
        token, out, caches = torch.full((n, 1), self.bos), [], [[], []]
        for _ in range(T):
            token = torch.multinomial(self(token, caches)[:, -1].softmax(-1), 1)
            out.append(token)
        return torch.cat(out, 1)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(11)
    rows, alphabet = levels(T)
    model = Transformer(len(alphabet), fixed)
    optim_ = optim.Adam(model.parameters(), lr=2e-3)
    loader, num_batches = batches(rows, 64), 900
    watch = trainwright.watch(total=num_batches, sample=model.generate, real=rows)
    for i in range(num_batches):
        seq = next(loader)
        inp = torch.cat([torch.full((len(seq), 1), model.bos), seq[:, :-1]], 1)
        loss = F.cross_entropy(model(inp).transpose(1, 2), seq)
        optim_.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optim_.step()
        watch(i, loss=loss.item())
    return watch
