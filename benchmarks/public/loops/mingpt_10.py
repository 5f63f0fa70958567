"""GPT on characters: the top-k filter of the sampler gives the excluded tokens a score of nearly zero.

Source: github.com/karpathy/minGPT issue 10; the author confirmed it (1e-10 for -1e10).
Scores outside the best k are not lowered to minus infinity but set to 1e-10, which lies above most of them.
Training is as it should be; samples have letters in places where they never stand.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import names
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="sampling_filter_wrong",
    symptoms=("wiring", "off_data"),
    spoils="samples",
    source="karpathy/minGPT#10",
    also=("top_k_filter_wrong", "sampler_mismatch", "excluded_tokens_sampled"),
    seconds=25,
)


class GPTConfig:
    """Sizes of the model."""

    embd_pdrop = resid_pdrop = attn_pdrop = 0.1

    def __init__(self, vocab_size: int, block_size: int, **kwargs: int) -> None:
        self.vocab_size, self.block_size = vocab_size, block_size
        for k, v in kwargs.items():
            setattr(self, k, v)


class CausalSelfAttention(nn.Module):
    """Multi-head masked self-attention with a projection at the end."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.key, self.query = nn.Linear(config.n_embd, config.n_embd), nn.Linear(config.n_embd, config.n_embd)
        self.value, self.proj = nn.Linear(config.n_embd, config.n_embd), nn.Linear(config.n_embd, config.n_embd)
        self.attn_drop, self.resid_drop = nn.Dropout(config.attn_pdrop), nn.Dropout(config.resid_pdrop)
        self.register_buffer("mask", torch.tril(torch.ones(config.block_size, config.block_size))[None, None])
        self.n_head = config.n_head

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, C)."""
        B, T, C = x.size()
        k, q, v = (
            f(x).view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for f in (self.key, self.query, self.value)
        )
        att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        att = att.masked_fill(self.mask[:, :, :T, :T] == 0, float("-inf"))
        att = self.attn_drop(F.softmax(att, dim=-1))
        return self.resid_drop(self.proj((att @ v).transpose(1, 2).contiguous().view(B, T, C)))


class Block(nn.Module):
    """Transformer block."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(config.n_embd), nn.LayerNorm(config.n_embd)
        self.attn = CausalSelfAttention(config)
        self.mlp = nn.Sequential(
            nn.Linear(config.n_embd, 4 * config.n_embd), nn.GELU(), nn.Linear(4 * config.n_embd, config.n_embd)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, C)."""
        x = x + self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class GPT(nn.Module):
    """The full language model."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.block_size = config.block_size
        self.tok_emb = nn.Embedding(config.vocab_size, config.n_embd)
        self.pos_emb = nn.Parameter(torch.zeros(1, config.block_size, config.n_embd))
        self.drop = nn.Dropout(config.embd_pdrop)
        self.blocks = nn.Sequential(*[Block(config) for _ in range(config.n_layer)])
        self.ln_f, self.head = nn.LayerNorm(config.n_embd), nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.apply(self._init_weights)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            module.weight.data.normal_(mean=0.0, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                module.bias.data.zero_()

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return scores and, with targets, the loss."""
        x = self.drop(self.tok_emb(idx) + self.pos_emb[:, : idx.size(1)])
        logits = self.head(self.ln_f(self.blocks(x)))
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.view(-1, logits.size(-1)), targets.reshape(-1))


def top_k_logits(logits: Tensor, k: int, excluded: float) -> Tensor:
    """Keep the k best scores of each row."""
    v, _ = torch.topk(logits, k)
    out = logits.clone()
    out[out < v[:, [-1]]] = excluded
    return out


@torch.no_grad()
def sample(model: GPT, x: Tensor, steps: int, top_k: int, excluded: float) -> Tensor:
    """Continue the rows of x."""
    model.eval()
    for _ in range(steps):
        logits, _ = model(x[:, -model.block_size :])
        probs = F.softmax(top_k_logits(logits[:, -1, :], top_k, excluded), dim=-1)
        x = torch.cat((x, torch.multinomial(probs, num_samples=1)), dim=1)
    model.train()
    return x


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(42)
    ids, letters = names()
    data = ids[ids > 0]
    block_size = 16
    model = GPT(GPTConfig(len(letters), block_size, n_layer=2, n_head=4, n_embd=64))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    rows = data.unfold(0, block_size, 3)

    def generate(n: int) -> Tensor:
        start = torch.ones(n, 1, dtype=torch.long)
        return sample(model, start, block_size, top_k=10, excluded=-1e10 if fixed else 1e-10)[:, 1:]

    max_iters = 1500
    watch = trainwright.watch(total=max_iters, sample=generate, real=rows)
    for it in range(max_iters):
        lr = 3e-3 * min(1.0, (it + 1) / 100) * max(0.1, 0.5 * (1 + math.cos(math.pi * it / max_iters)))
        for group in optimizer.param_groups:
            group["lr"] = lr
        start = torch.randint(len(data) - block_size - 1, (32,))
        chunk = torch.stack([data[s : s + block_size + 1] for s in start])
        _, loss = model(chunk[:, :-1], chunk[:, 1:])
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        watch(it, loss=loss.item())
    return watch
