"""Finetuner of a GPT, in the manner of Hugging Face: the attention masks of the data set are all zeros.

Source: github.com/coreweave/kubernetes-cloud pull request 146, merged.
All keys are masked with the most negative number, so the scores no longer count, and every position takes the plain average of the
positions before it. The text is then generated with a mask of ones.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import names
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="attention_mask_empty",
    symptoms=("wiring", "off_data", "plateau", "slow", "mode_collapse", "mode_dropping"),
    spoils="samples",
    source="coreweave/kubernetes-cloud#146",
    also=("attention_mask_wrong",),
    seconds=10,
)
PAD, EOS = 0, 1


class GPTBlock(nn.Module):
    """Attention with additive masks, and a perceptron."""

    def __init__(self, n_embd: int, n_head: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.ln_1, self.ln_2 = nn.LayerNorm(n_embd), nn.LayerNorm(n_embd)
        self.c_attn, self.c_proj = nn.Linear(n_embd, 3 * n_embd), nn.Linear(n_embd, n_embd)
        self.mlp = nn.Sequential(nn.Linear(n_embd, 4 * n_embd), nn.GELU(), nn.Linear(4 * n_embd, n_embd))

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        """Return (n, T, n_embd)."""
        n, length, width = x.shape
        q, k, v = (
            y.view(n, length, self.n_head, -1).transpose(1, 2) for y in self.c_attn(self.ln_1(x)).split(width, 2)
        )
        weights = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        weights = torch.where(causal, weights, torch.finfo(x.dtype).min)
        weights = (weights + attention_mask).softmax(-1)
        x = x + self.c_proj((weights @ v).transpose(1, 2).reshape(n, length, width))
        return x + self.mlp(self.ln_2(x))


class GPTForCausalLM(nn.Module):
    """Small GPT."""

    def __init__(
        self, vocab_size: int, n_positions: int = 24, n_embd: int = 64, n_layer: int = 2, n_head: int = 4
    ) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab_size, n_embd), nn.Embedding(n_positions, n_embd)
        self.h = nn.ModuleList([GPTBlock(n_embd, n_head) for _ in range(n_layer)])
        self.ln_f, self.lm_head = nn.LayerNorm(n_embd), nn.Linear(n_embd, vocab_size, bias=False)
        for p in (self.wte.weight, self.wpe.weight):
            nn.init.normal_(p, std=0.02)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Return logits, and the loss if labels are given."""
        mask = (1.0 - attention_mask[:, None, None].float()) * torch.finfo(torch.float32).min
        x = self.wte(input_ids) + self.wpe(torch.arange(input_ids.shape[1]))
        for block in self.h:
            x = block(x, mask)
        logits = self.lm_head(self.ln_f(x))
        if labels is None:
            return {"logits": logits}
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
        return {"loss": loss, "logits": logits}

    @torch.no_grad()
    def generate(self, input_ids: Tensor, max_length: int) -> Tensor:
        """Draw tokens until the end."""
        done = torch.zeros(len(input_ids), 1, dtype=torch.bool)
        while input_ids.shape[1] < max_length:
            logits = self(input_ids, torch.ones_like(input_ids))["logits"]
            token = logits[:, -1].softmax(-1).multinomial(1).masked_fill(done, PAD)
            done |= token == EOS
            input_ids = torch.cat([input_ids, token], 1)
        return input_ids


class TokenizedDataset:
    """Rows of tokens with their masks."""

    def __init__(self, tokens: Tensor, fixed: bool) -> None:
        self.tokens, self.fixed = tokens, fixed

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.tokens)

    def load(self, index: Tensor) -> dict[str, Tensor]:
        """Return a batch."""
        input_ids = self.tokens[index]
        mask = torch.zeros_like(input_ids)
        if self.fixed:
            mask[input_ids != PAD] = 1
        return {
            "input_ids": input_ids,
            "attention_mask": mask,
            "labels": input_ids.masked_fill(input_ids == PAD, -100),
        }


class Trainer:
    """Loop of training."""

    def __init__(self, model: GPTForCausalLM, dataset: TokenizedDataset, max_steps: int, learning_rate: float) -> None:
        self.model, self.dataset, self.max_steps = model, dataset, max_steps
        self.optimizer = torch.optim.AdamW(model.parameters(), learning_rate, weight_decay=0.01)
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda s: min(1.0, (s + 1) / 50) * max(0.05, 1 - s / max_steps)
        )

    def get_train_dataloader(self) -> Iterator[dict[str, Tensor]]:
        """Yield batches."""
        while True:
            order = torch.randperm(len(self.dataset))
            for i in range(0, len(order) - 31, 32):
                yield self.dataset.load(order[i : i + 32])

    def training_step(self, inputs: dict[str, Tensor]) -> Tensor:
        """Do one step, and return the loss."""
        self.model.train()
        loss = self.model(**inputs)["loss"]
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.lr_scheduler.step()
        self.optimizer.zero_grad()
        return loss.detach()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(146)
    rows, letters = names()
    bos, length = len(letters), rows.shape[1]
    model = GPTForCausalLM(bos + 1)
    trainer = Trainer(
        model, TokenizedDataset(F.pad(rows, (1, 0), value=bos), fixed), max_steps=1000, learning_rate=3e-3
    )

    def generate(n: int) -> Tensor:
        model.eval()
        return model.generate(torch.full((n, 1), bos), length + 1)[:, 1:]

    watch = trainwright.watch(total=trainer.max_steps, sample=generate, real=rows)
    for step, inputs in zip(range(trainer.max_steps), trainer.get_train_dataloader(), strict=False):
        loss = trainer.training_step(inputs)
        watch(step, {"loss": float(loss), "learning_rate": trainer.lr_scheduler.get_last_lr()[0]})
    return watch
