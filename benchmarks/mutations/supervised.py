"""A classifier in a class that looks like a trainer, and a segmentation."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.materials import batches, images
from trainwright.diagnosis.watch import Watch

CLASSES: dict[str, tuple[str, ...]] = {
    "softmax_and_cross_entropy": ("sigmoid_twice",),
    "zero_grad_missing": ("gradients_not_cleared",),
    "cleared_before_step": ("accumulated_gradients_cleared", "optimizer_never_steps"),
    "eval_mode": ("trained_in_eval_mode", "running_statistics_not_updated"),
    "labels_shuffled": ("labels_mismatched",),
    "schedule_per_batch": ("lr_reaches_zero_early",),
    "optimizer_of_frozen": ("not_trained", "parameters_not_optimized"),
    "head_replaced_after_optimizer": ("parameters_not_optimized",),
    "logits_reshaped": ("data_layout", "batch_time_swapped"),
    "pixels_0_255": ("data_range", "data_not_scaled"),
    "relu_last": ("output_activation", "dead_units"),
    "no_activation": ("no_activation",),
    "argmax_in_loss": ("not_trained",),
    "constant_label": ("labels_mismatched", "wrong_target"),
    "sorted": ("data_not_shuffled",),
    "lr_high": ("lr_too_high",),
    "lr_zero": ("lr_zero", "lr_too_low"),
    "nll_of_probabilities": ("loss_expects_probabilities",),
    "one_layer_many_times": ("layer_used_twice",),
    "same_batch": ("same_batch_every_step",),
    "features_detached": ("not_trained",),
    "features_detached_by_data": ("not_trained",),
    "weight_decay": ("weight_decay_too_high",),
    "dropout_of_all": ("dropout_too_high",),
    "accumulation_not_divided": ("gradients_not_divided", "lr_too_high"),
    "step_every_batch_of_accumulation": ("gradients_not_cleared",),
    "binary_for_many": ("loss_outside_range",),
    "negated": ("wrong_sign",),
    "momentum_999": ("momentum_too_high", "lr_too_high"),
}


class Classifier(nn.Module):
    """Images (n, 3, 16, 16) -> logits of four turns."""

    def __init__(self, fault: str) -> None:
        """Make the layers."""
        super().__init__()
        self.fault = fault
        act = nn.Identity() if fault == "no_activation" else nn.ReLU()
        self.features = nn.Sequential(
            nn.Conv2d(3, 24, 3, 2, 1), nn.BatchNorm2d(24), act, nn.Conv2d(24, 32, 3, 2, 1), nn.BatchNorm2d(32), act,
            nn.Dropout(0.97 if fault == "dropout_of_all" else 0.0), nn.Flatten(),
        )  # fmt: skip
        self.hidden = nn.Linear(512, 512) if fault == "one_layer_many_times" else nn.Linear(512, 64)
        self.classifier = nn.Linear(self.hidden.out_features, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        h = self.features(x)
        if self.fault == "features_detached":
            h = h.detach()
        if self.fault == "features_detached_by_data":
            h = torch.tensor(h.tolist())
        if self.fault == "one_layer_many_times":
            h = F.relu(self.hidden(F.relu(self.hidden(h))))
        h = self.hidden(h) if self.fault == "no_activation" else F.relu(self.hidden(h))
        out = self.classifier(h)
        return F.relu(out - 1.5) if self.fault == "relu_last" else out


class Learner:
    """Trains a classifier."""

    def __init__(self, fault: str) -> None:
        """Make data, network and optimizer."""
        self.fault = fault
        x = images("sprites")
        turn = torch.randint(4, (len(x),))
        self.x = torch.stack([torch.rot90(a, int(k), (1, 2)) for a, k in zip(x, turn, strict=True)])
        self.y = turn
        if fault == "labels_shuffled":
            self.y = self.y[torch.randperm(len(x))]
        if fault == "constant_label":
            self.y = torch.zeros_like(self.y)
        if fault == "sorted":
            order = self.y.argsort()
            self.x, self.y = self.x[order], self.y[order]
        if fault == "pixels_0_255":
            self.x = (self.x + 1) * 127.5
        self.model = Classifier(fault)
        if fault == "optimizer_of_frozen":
            for p in self.model.parameters():
                p.requires_grad_(False)
            self.model.classifier.bias.requires_grad_(True)
        lr = {"lr_high": 1.0, "lr_zero": 0.0}.get(fault, 1e-3)
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        if fault == "momentum_999":
            self.optimizer: torch.optim.Optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9995)
        else:
            self.optimizer = torch.optim.AdamW(
                parameters, lr=lr, weight_decay=500.0 if fault == "weight_decay" else 1e-2
            )
        if fault == "head_replaced_after_optimizer":
            self.model.classifier = nn.Linear(64, 4)
            self.model.hidden = nn.Linear(512, 64)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 5, 0.5)
        self.steps, self.accumulate = 300, 8 if fault.startswith(("accumulation", "step_every")) else 1

    def training_step(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the loss of a batch."""
        out = self.model(x)
        if self.fault == "softmax_and_cross_entropy":
            out = F.softmax(out, 1)
        if self.fault == "nll_of_probabilities":
            return F.nll_loss(F.softmax(out, 1), y)
        if self.fault == "logits_reshaped":
            out = out.reshape(4, -1).T
        if self.fault == "argmax_in_loss":
            return F.mse_loss(out.argmax(1).float().requires_grad_(), y.float())
        if self.fault == "binary_for_many":
            return F.binary_cross_entropy_with_logits(out.max(1).values, y.float())
        loss = F.cross_entropy(out, y)
        return -loss if self.fault == "negated" else loss

    def fit(self) -> Watch:
        """Train."""
        watch = trainwright.watch(total=self.steps)
        if self.fault == "sorted":
            stream = iter([])
        else:
            stream = batches(torch.arange(len(self.x)), 32)  # type: ignore[assignment]
        first = torch.arange(32)
        for step in range(self.steps):
            total = 0.0
            for _ in range(self.accumulate):
                i = torch.arange(step * 32, step * 32 + 32) % len(self.x) if self.fault == "sorted" else next(stream)
                if self.fault == "same_batch":
                    i = first
                if self.fault == "eval_mode":
                    self.model.eval()
                loss = self.training_step(self.x[i], self.y[i])
                total += loss.item()
                loss.backward()
                if self.fault == "step_every_batch_of_accumulation":
                    self.optimizer.step()
            if self.fault == "cleared_before_step":
                self.optimizer.zero_grad()
            if self.fault != "step_every_batch_of_accumulation":
                self.optimizer.step()
            if self.fault not in ("zero_grad_missing", "step_every_batch_of_accumulation"):
                self.optimizer.zero_grad()
            if self.fault == "schedule_per_batch":
                self.scheduler.step()
            watch(step, loss=total / self.accumulate)
        return watch


def classify(fault: str) -> Watch:
    """Train the classifier."""
    torch.manual_seed(0)
    return Learner(fault).fit()


SEGMENT: dict[str, tuple[str, ...]] = {
    "sigmoid_twice": ("sigmoid_twice",),
    "mask_0_255": ("loss_outside_range", "data_range"),
    "broadcast": ("loss_shapes_broadcast",),
    "dice_sign": ("wrong_sign",),
    "dice_without_smooth": ("division_by_zero",),
    "masks_of_other_images": ("labels_mismatched", "wrong_target"),
    "thresholded": ("not_trained",),
    "channels_viewed": ("data_layout",),
    "encoder_not_optimized": ("parameters_not_optimized",),
    "log_of_zero": ("log_of_zero",),
}


def segment(fault: str) -> Watch:
    """Train a segmentation of sprites."""
    torch.manual_seed(0)
    x = images("sprites")
    mask = (x.amax(1, keepdim=True) > -0.9).float()
    x = x + 0.5 * torch.randn_like(x)
    if fault == "mask_0_255":
        mask = mask * 255
    if fault == "masks_of_other_images":
        mask = mask.flip(0)
    if fault == "channels_viewed":
        x = x.permute(0, 2, 3, 1).contiguous().view(-1, 3, 16, 16)
    if fault == "dice_without_smooth":
        mask[::40] = 0
    encoder = nn.Sequential(nn.Conv2d(3, 24, 3, 1, 1), nn.ReLU(), nn.Conv2d(24, 24, 3, 2, 1), nn.ReLU())
    decoder = nn.Sequential(nn.Conv2d(24, 24, 3, 1, 1), nn.ReLU(), nn.ConvTranspose2d(24, 1, 4, 2, 1))
    parameters = list(decoder.parameters()) + ([] if fault == "encoder_not_optimized" else list(encoder.parameters()))
    opt = torch.optim.Adam(parameters, lr=2e-3)
    steps = 300
    watch = trainwright.watch(total=steps)
    for step, i in zip(range(steps), batches(torch.arange(len(x)), 32), strict=False):
        pred, goal = decoder(encoder(x[i])), mask[i]
        if fault == "broadcast":
            goal = goal[:, 0]
        if fault in ("dice_sign", "dice_without_smooth"):
            p = torch.sigmoid(pred)
            if fault == "dice_without_smooth":
                p = p * goal
            smooth = 0.0 if fault == "dice_without_smooth" else 1.0
            dice = (2 * (p * goal).sum((1, 2, 3)) + smooth) / (p.sum((1, 2, 3)) + goal.sum((1, 2, 3)) + smooth)
            loss = dice.mean() if fault == "dice_sign" else (1 - dice).mean()
        elif fault == "sigmoid_twice":
            loss = F.binary_cross_entropy_with_logits(torch.sigmoid(pred), goal)
        elif fault == "broadcast":
            loss = F.mse_loss(torch.sigmoid(pred), goal)
        elif fault == "thresholded":
            loss = F.mse_loss((pred > 0).float().requires_grad_(), goal)
        elif fault == "log_of_zero":
            p = torch.sigmoid(pred * 60)
            loss = -(goal * torch.log(p) + (1 - goal) * torch.log(1 - p)).mean()
        else:
            loss = F.binary_cross_entropy_with_logits(pred, goal)
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss)
    return watch


LOOPS = {"classes": (classify, CLASSES), "segment": (segment, SEGMENT)}
