"""Fine-tuning of BERT: the learning rate is about 100 times too high.

Source: github.com/strongio/keras-bert issue 11; the owner's answer was to reduce the rate.
The first steps destroy the pretrained weights. The classifier then gives the same answer for every text.
"""

import csv
import tempfile

import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from benchmarks.public.case import Case
from benchmarks.public.materials import BUILTIN, batches
from trainwright.diagnosis.watch import Watch
from trainwright.integrations.huggingface import DoctorCallback

CASE = Case(
    kind="supervised",
    cause="lr_too_high",
    symptoms=("plateau", "spike", "exploding", "oscillation", "trivial_baseline"),
    spoils="training",
    source="strongio/keras-bert#11",
)
CLS, MASK = 1, 2


def texts(length: int = 16) -> tuple[Tensor, Tensor, int]:
    """Return names of emoji (0) and sprites (1) with a first token, padded with 0, their labels, and the number of tokens."""
    rows = []
    for label, sheet in enumerate(("emoji", "sprites")):
        found = {r["name"].rsplit("/", 1)[-1].lower() for r in csv.DictReader((BUILTIN / f"{sheet}_sheet.csv").open())}
        rows += [(n, label) for n in sorted(found) if 3 <= len(n) < length]
    letters = sorted({c for n, _ in rows for c in n})
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    for i, (name, _) in enumerate(rows):
        ids[i, : len(name) + 1] = torch.tensor([CLS, *(letters.index(c) + 3 for c in name)])
    return ids, torch.tensor([label for _, label in rows]), len(letters) + 3


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(10)
    ids, labels, vocab = texts()
    config = BertConfig(
        vocab_size=vocab, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128,
        max_position_embeddings=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=2,
    )  # fmt: skip
    pretrained = BertForMaskedLM(config)
    optimizer = torch.optim.AdamW(pretrained.parameters(), 1e-3)
    for _, x in zip(range(150), batches(ids, 32), strict=False):  # stands for the public checkpoint
        hidden = (torch.rand(x.shape) < 0.2) & (x > MASK)
        target = x.masked_fill(~hidden, -100)
        pretrained(input_ids=x.masked_fill(hidden, MASK), attention_mask=(x > 0).long(), labels=target).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model = BertForSequenceClassification(config)
    model.bert.load_state_dict(pretrained.bert.state_dict(), strict=False)
    data = [{"input_ids": i, "attention_mask": (i > 0).long(), "labels": y} for i, y in zip(ids, labels, strict=True)]
    doctor = DoctorCallback()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, learning_rate=5e-4 if fixed else 5e-2, max_steps=400, per_device_train_batch_size=32, logging_steps=4,
            lr_scheduler_type="constant", save_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True,
        )  # fmt: skip
        trainer = Trainer(model, arguments, train_dataset=data, callbacks=[doctor])
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    assert doctor.watch is not None
    return doctor.watch
