"""Hugging Face GPT-2: labels are shifted by the data set and once more by the model.

Source: github.com/delphi-suite/delphi pull request 134; also huggingface/transformers pull requests 562 and 37830.
Causal models of transformers shift labels themselves. Shifted labels make the network predict the letter after the next one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import batches, names
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="autoregressive",
    cause="targets_misaligned",
    symptoms=("wiring", "off_data", "plateau", "slow"),
    spoils="samples",
    source="delphi-suite/delphi#134",
    also=("labels_mismatched",),
)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(2)
    data, letters = names()
    bos, length = len(letters), data.shape[1]
    config = GPT2Config(
        vocab_size=bos + 1, n_positions=32, n_embd=64, n_layer=2, n_head=4, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=bos, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)

    def sample(n: int) -> Tensor:
        start = torch.full((n, 1), bos)
        tokens = model.generate(
            start, attention_mask=torch.ones_like(start), do_sample=True, top_k=0, max_new_tokens=length, pad_token_id=0
        )[:, 1:]
        return F.pad(tokens, (0, length - tokens.shape[1]))

    watch = trainwright.watch(total=500, sample=sample, real=data)
    for step, name in zip(range(500), batches(data, 32), strict=False):
        tokens = F.pad(name, (1, 0), value=bos)
        input_ids, labels = (tokens, tokens) if fixed else (tokens[:, :-1], tokens[:, 1:])
        loss = model(input_ids=input_ids, labels=labels.masked_fill(labels == 0, -100)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        watch(step, loss=loss)
    return watch
