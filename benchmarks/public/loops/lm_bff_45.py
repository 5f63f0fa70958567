"""Prompt-based fine-tuning for a regression: the divergence takes probabilities for their logarithms.

Source: github.com/princeton-nlp/LM-BFF issue 45; the author agrees, and wonders that it works at all.
A score between two bounds becomes probabilities of two label words. With ``log_target=True`` a target of 0.9
is read as a probability of exp(0.9), so the best prediction is the softmax of the targets, always between
0.27 and 0.73.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="supervised",
    cause="target_taken_for_logarithm",
    symptoms=("wiring", "plateau", "trivial_baseline", "variance_collapse"),
    spoils="training",
    source="princeton-nlp/LM-BFF#45",
    also=("loss_expects_probabilities", "loss_expects_log_probabilities"),
    seconds=12,
)

VOCAB, LENGTH, MASK, LABEL_WORDS, LB, UB = 80, 14, 0, (1, 2), 0.0, 5.0


def sentences(n: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return tokens (n, LENGTH) that end with a mask, and scores (n,) of their mean tone.

    The tone of a word counts twice after an intensifier.
    """
    tone = torch.randn(VOCAB, generator=torch.Generator().manual_seed(45))
    words = torch.randint(3, VOCAB, (n, LENGTH - 1), generator=g)
    values = tone[words]
    doubled = F.pad((words < 12).float(), (1, 0))[:, :-1]
    score = UB * torch.sigmoid(1.8 * (values * (1 + doubled)).sum(1) / (LENGTH - 1) ** 0.5)
    return torch.cat([words, torch.full((n, 1), MASK)], 1), score


class PromptFinetuning(nn.Module):
    """Small encoder with a head over words, read at the mask."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.embeddings, self.positions = (
            nn.Embedding(VOCAB, width),
            nn.Parameter(0.1 * torch.randn(LENGTH, width)),
        )
        layer = nn.TransformerEncoderLayer(width, 4, 96, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.lm_head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, VOCAB))
        self.label_word_list = list(LABEL_WORDS)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return the log-probabilities of both label words at the mask."""
        hidden = self.encoder(self.embeddings(input_ids) + self.positions)
        at_mask = self.lm_head(hidden[:, -1])
        return F.log_softmax(at_mask[:, self.label_word_list], -1)


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(45)
    g = torch.Generator().manual_seed(1)
    train_ids, train_scores = sentences(12000, g)
    dev_ids, dev_scores = sentences(400, g)
    model = PromptFinetuning()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    loss_fct = nn.KLDivLoss(log_target=not fixed, reduction="batchmean")
    steps, batch_size = 1200, 32
    watch = trainwright.watch(total=steps)
    for step in range(steps):
        index = torch.randint(len(train_ids), (batch_size,))
        logits = model(train_ids[index])
        share = (train_scores[index] - LB) / (UB - LB)
        labels = torch.stack([1 - share, share], -1)
        loss = loss_fct(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        eval_mse = None
        if step % 50 == 49:
            model.eval()
            with torch.no_grad():
                predictions = LB + (UB - LB) * model(dev_ids)[:, 1].exp()
            eval_mse = F.mse_loss(predictions, dev_scores).item()
            model.train()
        watch(step, loss=loss.item(), eval_mse=eval_mse)
    return watch
