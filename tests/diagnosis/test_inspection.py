"""Inspections of small real loops: each fault is named within the first steps, and the repaired loop stays silent."""

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import trainwright
from trainwright.diagnosis.kinds import kinds_of
from trainwright.diagnosis.observing.graph import relaid
from trainwright.diagnosis.watch import Watch

BCE = F.binary_cross_entropy_with_logits


def mlp(*widths: int, last: nn.Module | None = None, norm: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), *([nn.BatchNorm1d(b)] if norm and b != widths[-1] else []), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1], *([last] if last is not None else []))


def points(n: int = 400) -> torch.Tensor:
    g = torch.Generator().manual_seed(1)
    return torch.rand(n, 8, generator=g) * 1.6 - 0.8


def gan(fault: str = "", steps: int = 30) -> Watch:
    torch.manual_seed(0)
    real, G, D = (
        points(),
        mlp(4, 32, 8, last=nn.Tanh()),
        mlp(8, 32, 1, last=nn.Sigmoid() if fault == "sigmoid_twice" else None, norm=fault == "batch_norm_in_critic"),
    )
    if fault == "data_range":
        real = (real + 1) * 100
    opt_g = torch.optim.Adam(
        G.parameters() if fault != "parameters_shared" else [*G.parameters(), *D.parameters()], 1e-3
    )
    opt_d = torch.optim.Adam(D.parameters(), 0.0 if fault == "lr_zero" else 1e-3)
    z = torch.randn(32, 4)
    watch = trainwright.watch(total=steps, sample=lambda n: G(torch.randn(n, 4)), real=real, say=None)
    for step in range(steps):
        batch = real[torch.randint(len(real), (32,))]
        noise = z if fault == "noise_drawn_once" else torch.randn(32, 4)
        if fault == "sqrt_at_zero" and step == 10:
            with torch.no_grad():
                for p in D.parameters():
                    p.zero_()
        if fault not in ("gradients_not_cleared", "gradients_of_other_loss"):
            opt_d.zero_grad()
        fake = G(noise)
        penalty = torch.zeros(())
        if fault in ("batch_norm_in_critic", "penalty_without_graph", "sqrt_at_zero"):
            middle = ((batch + fake) / 2).detach().requires_grad_()
            (slope,) = torch.autograd.grad(D(middle).sum(), middle, create_graph=fault != "penalty_without_graph")
            penalty = (slope.square().sum(1).sqrt() - 1).square().mean()
        one, zero = (
            (torch.ones(32, 1), torch.zeros(32, 1))
            if fault != "loss_shapes_broadcast"
            else (torch.ones(32), torch.zeros(32))
        )
        if fault == "loss_shapes_broadcast":
            loss_d = ((D(batch) - one) ** 2).mean() + ((D(fake.detach()) - zero) ** 2).mean()
        elif fault == "wrong_sign":
            loss_d = D(fake.detach()).mean() - D(batch).mean()
        else:
            real_label = zero if fault == "labels_alike" else one
            loss_d = BCE(D(batch), real_label) + BCE(D(fake.detach()), zero) + penalty
        loss_d.backward()
        if fault != "optimizer_never_steps":
            opt_d.step()
        opt_g.zero_grad()
        made = fake.detach() if fault == "not_trained" else fake
        score = D(made)
        if fault == "wrong_sign":
            loss_g = score.mean()
        elif fault == "loss_shapes_broadcast":
            loss_g = ((score - one) ** 2).mean()
        else:
            loss_g = BCE(score, zero if fault == "labels_do_not_oppose" else one)
        if fault == "gradients_of_other_loss":
            opt_d.zero_grad()  # too early: the generator's loss adds to it
        loss_g.backward()
        opt_g.step()
        more = {"gp": penalty} if fault in ("batch_norm_in_critic", "penalty_without_graph", "sqrt_at_zero") else {}
        watch(step, loss_D=loss_d, loss_G=loss_g, **more)
    watch.diagnose()
    return watch


def found(watch: Watch) -> dict[str, str]:
    assert watch.failed is None and watch.observer.failed is None
    return {r["cause"]: r["message"] for r in watch.history().facts["inspections"]}


def test_a_sound_gan_shows_nothing():
    assert found(gan()) == {}


@pytest.mark.parametrize(
    "fault, cause, words",
    [
        ("gradients_not_cleared", "gradients_not_cleared", "opt_d"),
        ("gradients_of_other_loss", "gradients_of_other_loss", "opt_d"),
        ("optimizer_never_steps", "optimizer_never_steps", "opt_d has made no step"),
        ("parameters_shared", "parameters_shared", "opt_d and opt_g"),
        ("not_trained", "not_trained", "no gradient reaches G"),
        ("lr_zero", "lr_zero", "opt_d is 0"),
        ("labels_do_not_oppose", "labels_do_not_oppose", "so does D"),
        ("labels_alike", "labels_do_not_oppose", "alike"),
        ("wrong_sign", "wrong_sign", "G lowers"),
        ("sigmoid_twice", "sigmoid_twice", "loss_D"),
        ("loss_shapes_broadcast", "loss_shapes_broadcast", "(32, 32)"),
        ("batch_norm_in_critic", "batch_norm_in_critic", "D has BatchNorm"),
        ("penalty_without_graph", "penalty_without_graph", "gp has no gradient"),
        ("sqrt_at_zero", "sqrt_at_zero", "square root"),
        ("data_range", "data_range", "tanh"),
        ("noise_drawn_once", "noise_drawn_once", "same noise"),
    ],
)  # fmt: skip
def test_a_fault_of_a_gan_is_named_in_the_loops_own_words(fault, cause, words):
    watch = gan(fault)
    said = found(watch)
    assert cause in said, said
    assert words in said[cause]
    first = watch.latest.alarms[0]
    assert first.symptom.name == "wiring" or watch.latest.verdict == "crashed"
    assert cause in [c.cause.name for c in first.causes[:1]] or watch.latest.verdict == "crashed"


def test_the_generators_gradient_left_in_the_discriminator_is_told_from_accumulation():
    torch.manual_seed(0)
    net, data = mlp(8, 16, 8), points()
    opt = torch.optim.SGD(net.parameters(), 0.01)
    watch = trainwright.watch(total=40, say=None)
    for step in range(40):
        loss = (net(data[:32]) - data[:32] * torch.rand(())).square().mean()
        loss.backward()
        if step % 4 == 3:  # accumulation over four batches
            opt.step()
            opt.zero_grad()
        watch(step, loss=loss)
    watch.diagnose()
    assert "gradients_not_cleared" not in found(watch) and "gradients_of_other_loss" not in found(watch)


@pytest.mark.parametrize("buffers", [False, True])
def test_an_average_without_buffers_is_found(buffers):
    torch.manual_seed(0)
    real, net = points(), mlp(4, 32, 8, norm=True)
    average = copy.deepcopy(net).eval()
    opt = torch.optim.Adam(net.parameters(), 1e-3)
    watch = trainwright.watch(total=60, sample=lambda n: average(torch.randn(n, 4)), real=real, say=None)
    for step in range(60):
        loss = (net(torch.randn(32, 4)) * 3 - real[torch.randint(len(real), (32,))]).square().mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        with torch.no_grad():
            for a, b in zip(average.parameters(), net.parameters(), strict=True):
                a.lerp_(b, 0.1)
            if buffers:
                for a, b in zip(average.buffers(), net.buffers(), strict=True):
                    a.copy_(b)
        watch(step, loss=loss)
    watch.diagnose()
    assert ("ema_without_buffers" in found(watch)) is not buffers
    assert watch.observer.average is not None and abs(watch.observer.average.decay - 0.9) < 1e-3


class Conditioned(nn.Module):
    def __init__(self, ignored: bool) -> None:
        super().__init__()
        self.ignored, self.net = ignored, mlp(9, 64, 8)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return self.net(torch.cat([x, t.float()[:, None] / 50 * (1e-5 if self.ignored else 1.0)], 1))


def diffusion(fault: str = "", steps: int = 150) -> Watch:
    """Points diffused with 50 steps; the network predicts the noise."""
    torch.manual_seed(0)
    data = points() * (30 if fault == "latents_not_scaled" else 1)
    alphas_cumprod = torch.cumprod(1 - torch.linspace(2e-3, 0.25, 50), 0)
    net = Conditioned(fault == "conditioning_ignored")
    opt = torch.optim.Adam(net.parameters(), 2e-3)

    def sample(n: int) -> torch.Tensor:
        x = torch.randn(n, 8)
        for t in range(49, -1, -1):
            a = alphas_cumprod[t]
            before = alphas_cumprod[t - 1] if t else torch.tensor(1.0)
            if fault == "sampler_step_mismatch":
                before = alphas_cumprod[max(0, t - 1)] * 0 + a * 0.99
            out = net(x, torch.full((n,), t))
            clean = out if fault == "prediction_type_mismatch" else (x - (1 - a).sqrt() * out) / a.sqrt()
            noise = (x - a.sqrt() * clean) / (1 - a).sqrt()
            x = before.sqrt() * clean + (1 - before).sqrt() * noise
        return x

    watch = trainwright.watch(total=steps, sample=sample, real=data, say=None)
    for step in range(steps):
        x0 = data[torch.randint(len(data), (64,))]
        t, e = torch.randint(0, 50, (64,)), torch.randn(64, 8)
        a = alphas_cumprod[t][:, None]
        loss = F.mse_loss(net(a.sqrt() * x0 + (1 - a).sqrt() * e, t), e)
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss)
    watch.diagnose()
    return watch


@pytest.mark.parametrize(
    "fault", ["", "conditioning_ignored", "sampler_step_mismatch", "prediction_type_mismatch", "latents_not_scaled"]
)
def test_faults_of_a_diffusion_loop_are_found_and_a_sound_one_shows_nothing(fault):
    watch = diffusion(fault)
    said = found(watch)
    assert set(said) == ({fault} if fault else set()), said
    if not fault:
        assert watch.observer.seen["sampler"]["prediction"] == "noise" and watch.observer.seen["sampler"]["passes"]


def test_parameters_that_no_optimizer_holds_are_found_and_a_fixed_feature_network_is_not():
    torch.manual_seed(0)
    net, features, data = nn.ModuleDict({"body": mlp(8, 16, 16), "head": nn.Linear(16, 8)}), mlp(8, 4), points()
    for fault in (True, False):
        opt = torch.optim.Adam(net["head"].parameters() if fault else net.parameters(), 1e-3)
        watch = trainwright.watch(total=30, say=None, optimizers={"opt": opt})
        for step in range(30):
            batch = data[torch.randint(len(data), (16,))]
            out = net["head"](net["body"](batch))
            loss = (out - batch).square().mean() + (features(out) - features(batch).detach()).square().mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            watch(step, loss=loss)
        watch.diagnose()
        assert ("parameters_not_optimized" in found(watch)) is fault, found(watch)
        watch.observer.close()


def test_a_state_carried_from_batch_to_batch_is_found():
    torch.manual_seed(0)
    net, head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 4)
    opt = torch.optim.Adam([*net.parameters(), *head.parameters()], 1e-3)
    for carried in (True, False):
        watch, state = trainwright.watch(total=30, say=None), None
        for step in range(30):
            x = torch.randn(16, 6, 4)
            out, (h, c) = net(x, state)
            state = (h.detach(), c.detach()) if carried else None
            loss = (head(out) - x).square().mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            watch(step, loss=loss)
        watch.diagnose()
        assert ("hidden_state_carried" in found(watch)) is carried
        watch.observer.close()


def test_a_cross_entropy_of_data_outside_its_range_is_found():
    torch.manual_seed(0)
    data, net = points(), mlp(8, 16, 8, last=nn.Sigmoid())
    opt = torch.optim.Adam(net.parameters(), 1e-3)
    for fixed in (False, True):
        target = (data + 1) / 2 if fixed else data
        watch = trainwright.watch(total=20, sample=lambda n: net(torch.rand(n, 8)), real=target, say=None)
        for step in range(20):
            batch = target[torch.randint(len(target), (16,))]
            loss = BCE(mlp_logits(net, batch), batch)
            opt.zero_grad()
            loss.backward()
            opt.step()
            watch(step, bce=loss)
        watch.diagnose()
        assert ("loss_outside_range" in found(watch)) is not fixed
        watch.observer.close()


def mlp_logits(net: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    return net[:-1](x)


def scored(fault: str) -> Watch:
    """A GAN whose losses are functions of scores, and whose faults lie in the critic or in these functions."""
    torch.manual_seed(0)
    real, G = points(), mlp(4, 32, 8, last=nn.Tanh())
    last = {"output_activation": nn.Sigmoid(), "probabilities": nn.Sigmoid()}.get(fault)
    D = mlp(8, 32, 32, 1, last=last, norm=fault in ("trained_in_eval_mode", "batch_norm_modes_differ"))
    if fault in ("spectral_norm_in_eval", "spectral_norm"):
        for i in (0, 2):
            D[i] = nn.utils.parametrizations.spectral_norm(D[i])
    D.train(fault not in ("spectral_norm_in_eval", "trained_in_eval_mode"))
    rate = 1e-4 if fault == "clipped" else 1e-2
    opt_g = torch.optim.Adam(G.parameters(), 5e-5 if fault == "clipped" else 1e-3)
    opt_d = torch.optim.Adam(D.parameters(), rate)
    watch = trainwright.watch(total=120, sample=lambda n: G(torch.randn(n, 4)), real=real, say=None)
    for step in range(120):
        batch, fake = real[torch.randint(len(real), (32,))], G(torch.randn(32, 4))
        a, b = D(batch), D(fake.detach())
        if fault in ("hinge", "flat_loss", "output_activation", "trained_in_eval_mode"):
            loss_d = F.relu(1 - a).mean() + F.relu(1 + b).mean()
        elif fault == "probabilities":
            loss_d = -(a + 1e-6).log().mean() - (1 - b + 1e-6).log().mean()
        else:
            loss_d = b.mean() - a.mean()
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        if fault == "clipped":
            with torch.no_grad():
                for p in D.parameters():
                    p.clamp_(-0.01, 0.01)
        D.train(D.training and fault != "batch_norm_modes_differ")
        score = D(fake)
        D.train(fault not in ("spectral_norm_in_eval", "trained_in_eval_mode"))
        loss_g = -F.relu(score).mean() if fault == "flat_loss" else -score.mean()
        if fault == "probabilities":
            loss_g = -(score + 1e-6).log().mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        watch(step, loss_D=loss_d, loss_G=loss_g)
    watch.diagnose()
    return watch


@pytest.mark.parametrize(
    "fault, words",
    [
        ("flat_loss", "the gradient of G is exactly 0"), ("output_activation", "D ends in a sigmoid"),
        ("critic_unbounded", "nothing bounds its slope"), ("spectral_norm_in_eval", "D is trained in evaluation mode"),
        ("trained_in_eval_mode", "D is trained in evaluation mode"), ("batch_norm_modes_differ", "once in evaluation mode"),
    ],
)  # fmt: skip
def test_a_fault_of_scores_is_named(fault, words):
    said = found(scored(fault))
    assert words in said.get(fault, ""), said


@pytest.mark.parametrize("sound", ["hinge", "probabilities", "clipped", "spectral_norm"])
def test_sound_losses_of_scores_show_nothing(sound):
    assert found(scored(sound)) == {}


@pytest.mark.parametrize("fault", ["", "latent_activation"])
def test_an_activation_on_the_posteriors_mean_is_found(fault):
    torch.manual_seed(0)
    data, encoder, decoder = points(), mlp(8, 32, 8), mlp(4, 32, 8)
    opt = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
    watch = trainwright.watch(total=30, say=None)
    for step in range(30):
        mean, log_variance = encoder(data[:64]).chunk(2, 1)
        if fault:
            mean = F.relu(mean)
        again = decoder(mean + (0.5 * log_variance).exp() * torch.randn_like(mean))
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        loss = (again - data[:64]).square().sum(1).mean() + kl
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss, kl=kl)
    watch.diagnose()
    assert ("latent_activation" in found(watch)) is bool(fault)
    if fault:
        assert "mean of the posterior comes out of a relu" in found(watch)["latent_activation"]


@pytest.mark.parametrize("how", ["view", "transpose"])
def test_a_view_in_the_place_of_a_transposition_is_found(how):
    torch.manual_seed(0)
    net, head = nn.Conv1d(3, 6, 3, padding=1), nn.Linear(6, 3)
    opt = torch.optim.Adam([*net.parameters(), *head.parameters()], 1e-3)
    watch = trainwright.watch(total=30, say=None)
    for step in range(30):
        x = torch.randn(16, 3, 20)
        h = net(x)
        out = head(h.view(16, 20, 6) if how == "view" else h.transpose(1, 2))
        loss = (out - x.transpose(1, 2)).square().mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss)
    watch.diagnose()
    assert ("data_layout" in found(watch)) is (how == "view")


@pytest.mark.parametrize(
    "before, after, mixes",
    [
        ((8, 3, 16), (8, 16, 3), "axes"), ((8, 3, 4, 5, 5), (32, 3, 5, 5), "axes"), ((5, 8, 16), (8, 5, 16), "batch"),
        ((2, 8, 16), (8, 32), "batch"), ((8, 16), (8, 4, 4), None), ((8, 6, 64), (8, 6, 4, 16), None),
        ((6, 8, 64), (6, 32, 16), None), ((4, 8, 16, 16), (1, 32, 16, 16), None), ((16, 8, 4, 4), (4, 4, 2, 4, 4, 4), None),
        ((32, 1), (32,), None), ((8, 4, 3, 6, 3, 6), (8, 12, 18, 6), None),
    ],
)  # fmt: skip
def test_views_that_scramble_are_told_from_splits_and_merges(before, after, mixes):
    result = relaid(before, after)
    assert (result.mixes if result else None) == mixes


@pytest.mark.parametrize("fault", ["loss_weight_inverted", "schedule_begins_without_noise", ""])
def test_weights_and_beginning_of_a_noise_schedule_are_judged(fault):
    torch.manual_seed(0)
    data, net = points(), Conditioned(False)
    product = torch.cumprod(1 - torch.linspace(2e-3, 0.25, 50), 0)
    alphas_cumprod = torch.cat([torch.ones(1), product[:-1]]) if fault.startswith("schedule") else product
    opt = torch.optim.Adam(net.parameters(), 2e-3)

    def sample(n: int) -> torch.Tensor:
        x = torch.randn(n, 8)
        for t in range(49, -1, -1):
            a, before = alphas_cumprod[t], alphas_cumprod[t - 1] if t else torch.tensor(1.0)
            noise = net(x, torch.full((n,), t))
            x = before.sqrt() * (x - (1 - a).sqrt() * noise) / a.sqrt() + (1 - before).sqrt() * noise
        return x

    watch = trainwright.watch(total=150, sample=sample, real=data, say=None)
    for step in range(150):
        clean, t, noise = data[torch.randint(len(data), (64,))], torch.randint(0, 50, (64,)), torch.randn(64, 8)
        a = alphas_cumprod[t][:, None]
        each = (net(a.sqrt() * clean + (1 - a).sqrt() * noise, t) - noise).square().mean(1)
        snr = (a / (1 - a))[:, 0]
        loss = (each * (snr.clamp(min=5) / snr if fault == "loss_weight_inverted" else 1)).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss)
    watch.diagnose()
    said = set(found(watch)) - {"schedule_leaves_signal"}
    assert said == ({fault} if fault else set()), found(watch)


def regression(fault: str, steps: int = 40) -> Watch:
    torch.manual_seed(0)
    data, net = points(), mlp(8, 32, 32, 8)
    if fault == "layer_used_twice":
        net = nn.Sequential(nn.Linear(8, 8), *[nn.Linear(8, 8)] * 3, nn.Linear(8, 8))
    if fault == "precision":
        net, data = net.bfloat16(), data.bfloat16()
    opt = torch.optim.Adam(net.parameters(), 1e-4 if fault == "precision" else 1e-2)
    average = copy.deepcopy(net)
    watch = trainwright.watch(total=steps, say=None)
    for step in range(steps):
        if fault != "accumulates":
            opt.zero_grad()
        for _ in range(4 if fault.startswith("accumul") else 1):
            if fault == "accumulated_gradients_cleared":
                opt.zero_grad()
            batch = data[torch.randint(len(data), (32,))]
            loss = (net(batch) - batch.flip(1)).square().mean()
            loss.backward()
        opt.step()
        if fault == "accumulates":
            opt.zero_grad()
        with torch.no_grad():
            for a, p in zip(average.parameters(), net.parameters(), strict=True):
                a.lerp_(p, 0.01)
                if fault == "ema_replaces_weights":
                    p.copy_(a)
                if fault == "clips":
                    p.clamp_(-0.1, 0.1)
        watch(step, loss=loss)
    watch.diagnose()
    return watch


@pytest.mark.parametrize(
    "fault, words",
    [
        ("accumulated_gradients_cleared", "without a step of opt"), ("ema_replaces_weights", "overwritten between its steps"),
        ("layer_used_twice", "5 places share the weights of 3"), ("precision", "bfloat16"),
    ],
)  # fmt: skip
def test_a_fault_of_weights_and_steps_is_named(fault, words):
    said = found(regression(fault))
    assert words in said.get(fault, ""), said


@pytest.mark.parametrize("sound", ["plain", "accumulates", "clips"])
def test_accumulation_averages_and_clipping_show_nothing(sound):
    assert found(regression(sound)) == {}


@pytest.mark.parametrize("fault", ["noise_distribution_mismatch", ""])
def test_noise_of_training_and_sampling_is_compared(fault):
    torch.manual_seed(0)
    real, G, D = points(), mlp(16, 32, 8, last=nn.Tanh()), mlp(8, 32, 1)
    opt_g, opt_d = torch.optim.Adam(G.parameters(), 1e-3), torch.optim.Adam(D.parameters(), 1e-3)
    one, zero = torch.ones(32, 1), torch.zeros(32, 1)
    watch = trainwright.watch(total=60, sample=lambda n: G(torch.randn(n, 16)), real=real, say=None)
    for step in range(60):
        fake = G(torch.rand(32, 16) if fault else torch.randn(32, 16))
        loss_d = BCE(D(real[torch.randint(len(real), (32,))]), one) + BCE(D(fake.detach()), zero)
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        loss_g = BCE(D(fake), one)
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        watch(step, loss_D=loss_d, loss_G=loss_g)
    watch.diagnose()
    assert set(found(watch)) == ({fault} if fault else set())


@pytest.mark.parametrize("fault", ["targets_misaligned", "targets_in_input", "padding_in_loss", ""])
def test_targets_of_a_sequence_model_are_compared_with_its_inputs(fault):
    torch.manual_seed(0)
    tokens = torch.randint(1, 12, (200, 16))
    if fault == "padding_in_loss":
        tokens[:, 4:] = 0

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.rnn, self.out = nn.Embedding(12, 16), nn.GRU(16, 16, batch_first=True), nn.Linear(16, 12)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.rnn(self.embed(x))[0])

    net = Model()
    opt = torch.optim.Adam(net.parameters(), 1e-3)

    def sample(n: int) -> torch.Tensor:
        x = torch.ones(n, 1, dtype=torch.long)
        for _ in range(15):
            x = torch.cat([x, net(x)[:, -1].softmax(1).multinomial(1)], 1)
        return x

    watch = trainwright.watch(total=80, sample=sample, real=tokens, say=None)
    for step in range(80):
        batch = tokens[torch.randint(len(tokens), (32,))]
        target = {"targets_in_input": batch[:, :-2], "targets_misaligned": batch[:, 2:]}.get(fault, batch[:, 1:-1])
        loss = F.cross_entropy(net(batch[:, :-2]).transpose(1, 2), target)
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss)
    watch.diagnose()
    assert set(found(watch)) == ({fault} if fault else set())


@pytest.mark.parametrize("fault", ["gradients_of_other_loss", ""])
def test_samples_that_are_not_detached_in_the_discriminators_loss_are_found(fault):
    torch.manual_seed(0)
    real, G, D = points(), mlp(4, 32, 8, last=nn.Tanh()), mlp(8, 32, 1)
    opt_g, opt_d = torch.optim.Adam(G.parameters(), 1e-3), torch.optim.Adam(D.parameters(), 1e-3)
    watch = trainwright.watch(total=60, sample=lambda n: G(torch.randn(n, 4)), real=real, say=None)
    for step in range(60):
        fake = G(torch.randn(32, 4))
        score = D(fake)
        loss_g = -score.mean()
        opt_g.zero_grad()
        loss_g.backward(retain_graph=True)
        if not fault:
            opt_g.step()
            score = D(fake.detach())
        loss_d = F.softplus(-D(real[torch.randint(len(real), (32,))])).mean() + F.softplus(score).mean()
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        if fault:
            opt_g.step()
        watch(step, loss_D=loss_d, loss_G=loss_g)
    watch.diagnose()
    assert set(found(watch)) == ({fault} if fault else set()), found(watch)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_how_errors_are_reduced_is_read_off_the_gradient(reduction):
    torch.manual_seed(0)
    data = torch.rand(400, 1, 12, 12).bernoulli()
    encoder, decoder = (
        nn.Sequential(nn.Flatten(), mlp(144, 32, 8)),
        nn.Sequential(mlp(4, 32, 144), nn.Unflatten(1, (1, 12, 12))),
    )
    opt = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
    watch = trainwright.watch(total=40, sample=lambda n: decoder(torch.randn(n, 4)), real=data, say=None)
    for step in range(40):
        x = data[torch.randint(400, (64,))]
        mean, log_variance = encoder(x).chunk(2, 1)
        again = decoder(mean + (0.5 * log_variance).exp() * torch.randn_like(mean))
        error = F.mse_loss(again, x) if reduction == "mean" else F.mse_loss(again, x, reduction="sum") / 64
        latent = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        opt.zero_grad()
        (error + latent).backward()
        opt.step()
        watch(step, loss=error + latent, latent_loss=latent)
    watch.diagnose()
    history = watch.history()
    assert history.setting("reduction") == reduction
    assert kinds_of(history) == {"variational"}
    assert history.get("kl/raw") is not None


def test_a_term_that_begins_later_is_neither_frozen_nor_exploding():
    torch.manual_seed(0)
    real, G, D = points(), mlp(4, 32, 8, last=nn.Tanh()), mlp(8, 32, 1)
    opt_g, opt_d = torch.optim.Adam(G.parameters(), 1e-3), torch.optim.Adam(D.parameters(), 1e-3)
    watch = trainwright.watch(total=120, sample=lambda n: G(torch.randn(n, 4)), real=real, say=None)
    for step in range(120):
        batch, fake = real[torch.randint(400, (32,))], G(torch.randn(32, 4))
        factor = 1.0 if step >= 40 else 0.0
        loss_d = factor * (F.relu(1 - D(batch)).mean() + F.relu(1 + D(fake.detach())).mean())
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        loss_g = (fake - batch).square().mean() - factor * D(fake).mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        watch(step, loss_D=loss_d, loss_G=loss_g)
    watch.diagnose()
    assert all("frozen_network" not in names and "exploding" not in names for _, _, names in watch.verdicts)


@pytest.mark.parametrize("how", ["view", "permute"])
def test_scrambled_images_are_told_from_real_ones(how):
    torch.manual_seed(0)
    place = torch.linspace(0, 3, 12)
    waves = torch.sin(place[:, None] + place + 6 * torch.rand(300, 1, 1))
    loaded = (waves[..., None] * torch.rand(300, 1, 1, 3) + torch.randn(300, 1, 1, 3)).contiguous()  # (n, H, W, C)
    real = loaded.permute(0, 3, 1, 2).contiguous()
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))
    opt = torch.optim.Adam(net.parameters(), 1e-3)
    watch = trainwright.watch(total=30, sample=lambda n: net(real[:n]), real=real, say=None)
    for step in range(30):
        chosen = torch.randint(300, (16,))
        x = loaded[chosen].view(16, 3, 12, 12) if how == "view" else real[chosen]
        loss = (net(x) - x).square().mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss)
    watch.diagnose()
    assert ("data_layout" in found(watch)) is (how == "view"), found(watch)


class Flow(nn.Module):
    """Flow matching whose forward() returns its loss, as many libraries have it."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault, self.net = fault, Conditioned(False)
        if fault == "output_activation":
            self.net.net.append(nn.ReLU())

    def forward(self, data: torch.Tensor) -> torch.Tensor:
        t, noise = torch.rand(len(data)), torch.randn_like(data)
        share = 1 - t[:, None] if self.fault == "time_inverted" else t[:, None]
        return F.mse_loss(self.net(noise * (1 - share) + data * share, 50 * t), data - noise)

    def sample(self, n: int) -> torch.Tensor:
        x = torch.rand(n, 8) if self.fault == "noise_distribution_mismatch" else torch.randn(n, 8)
        for i in range(10):
            t = 500 * i / 10 + 1000 if self.fault == "time_scale" else 50 * i / 10
            x = x + self.net(x, torch.full((n,), float(t))) / 10
        return x


@pytest.mark.parametrize(
    "fault, cause",
    [
        ("", ""), ("noise_distribution_mismatch", "noise_distribution_mismatch"), ("time_scale", "sampler_step_mismatch"),
        ("time_inverted", "sampler_step_mismatch"), ("output_activation", "output_activation"),
    ],
)  # fmt: skip
def test_beginnings_and_outputs_of_a_flow_are_judged_inside_a_module_that_returns_its_loss(fault, cause):
    torch.manual_seed(0)
    data, flow = points() * 0.4, Flow(fault)
    opt = torch.optim.Adam(flow.parameters(), 2e-3)
    watch = trainwright.watch(total=150, sample=flow.sample, real=data, say=None)
    for step in range(150):
        loss = flow(data[torch.randint(len(data), (64,))])
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss)
    watch.diagnose()
    assert set(found(watch)) == ({cause} if cause else set()), found(watch)


@pytest.mark.parametrize("axis, wrong", [((16, 1, 6, 3), True), ((16, 6, 3), False)])
def test_an_axis_too_many_in_the_targets_is_found(axis, wrong):
    torch.manual_seed(0)
    net = nn.Linear(3, 3)
    opt = torch.optim.Adam(net.parameters(), 1e-3)
    watch = trainwright.watch(total=20, say=None)
    for step in range(20):
        x = torch.randn(16, 6, 3)
        loss = (net(x) - x.view(axis)).square().mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss)
    watch.diagnose()
    assert ("loss_shapes_broadcast" in found(watch)) is wrong


@pytest.mark.parametrize("last, wrong", [(nn.Tanh(), True), (nn.Sigmoid(), False)])
def test_a_logarithm_of_scores_is_found(last, wrong):
    torch.manual_seed(0)
    net = mlp(8, 16, 1, last=last)
    opt = torch.optim.Adam(net.parameters(), 1e-3)
    watch = trainwright.watch(total=20, say=None)
    for step in range(20):
        loss = -(net(points()[:32]) + 1e-6).log().nan_to_num(0).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss)
    watch.diagnose()
    assert ("loss_expects_probabilities" in found(watch)) is wrong


@pytest.mark.parametrize(
    "steps, cause", [((1, 1), ""), ((5, 1), "too_many_critic_steps"), ((1, 4), "too_few_critic_steps")]
)
def test_how_often_discriminator_and_generator_step_is_compared(steps, cause):
    torch.manual_seed(0)
    real, G, D = points(), mlp(4, 32, 8, last=nn.Tanh()), mlp(8, 32, 1)
    opt_g, opt_d = torch.optim.Adam(G.parameters(), 1e-3), torch.optim.Adam(D.parameters(), 1e-3)
    one, zero = torch.ones(32, 1), torch.zeros(32, 1)
    watch = trainwright.watch(total=60, sample=lambda n: G(torch.randn(n, 4)), real=real, say=None)
    for step in range(60):
        for _ in range(steps[0]):
            loss_d = BCE(D(real[torch.randint(400, (32,))]), one) + BCE(D(G(torch.randn(32, 4)).detach()), zero)
            opt_d.zero_grad()
            loss_d.backward()
            opt_d.step()
        for _ in range(steps[1]):
            loss_g = BCE(D(G(torch.randn(32, 4))), one)
            opt_g.zero_grad()
            loss_g.backward()
            opt_g.step()
        watch(step, loss_D=loss_d, loss_G=loss_g)
    watch.diagnose()
    assert set(found(watch)) == ({cause} if cause else set())


@pytest.mark.parametrize("unit, wrong", [(1, False), (40, True)])
def test_a_warm_up_that_hardly_rises_is_found(unit, wrong):
    torch.manual_seed(0)
    net = nn.Linear(8, 8)
    opt = torch.optim.Adam(net.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(opt, lambda i: min(1.0, (i // unit + 1) / 50))
    watch = trainwright.watch(total=120, say=None)
    for step in range(120):
        loss = (net(points()[:32]) - 1).square().mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        schedule.step()
        watch(step, loss=loss)
    watch.diagnose()
    assert ("lr_too_low" in found(watch)) is wrong


@pytest.mark.parametrize("loads", [True, False])
def test_weights_that_validation_overwrites_are_found(loads):
    torch.manual_seed(0)
    net = mlp(8, 16, 8)
    opt = torch.optim.Adam(net.parameters(), 1e-2)
    kept = {k: v.clone() for k, v in net.state_dict().items()}
    watch = trainwright.watch(total=120, say=None)
    for step in range(120):
        loss = (net(points()[:32]) - 1).square().mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        if step % 20 == 19:
            trained = {k: v.clone() for k, v in net.state_dict().items()}
            net.load_state_dict(kept)
            if not loads:
                net.load_state_dict(trained)
        watch(step, loss=loss)
    watch.diagnose()
    assert ("ema_replaces_weights" in found(watch)) is loads


@pytest.mark.parametrize("drawn", ["sample", "rsample"])
def test_codes_without_a_gradient_are_found(drawn):
    torch.manual_seed(0)
    data, encoder, decoder = points(), mlp(8, 32, 8), mlp(4, 32, 8)
    opt = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
    watch = trainwright.watch(total=60, sample=lambda n: decoder(torch.randn(n, 4)), real=data, say=None)
    for step in range(60):
        mean, log_std = encoder(data[:64]).chunk(2, 1)
        code = getattr(torch.distributions.Normal(mean, log_std.exp()), drawn)()
        kl = (0.5 * (mean.square() + (2 * log_std).exp() - 1) - log_std).sum(1).mean()
        loss = (decoder(code) - data[:64]).square().sum(1).mean() + kl
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss, kl=kl)
    watch.diagnose()
    assert ("not_trained" in found(watch)) is (drawn == "sample"), found(watch)


def test_a_squared_loss_that_raises_all_scores_at_first_is_sound():
    torch.manual_seed(0)
    real, G, D = points(), mlp(4, 32, 8, last=nn.Tanh()), mlp(8, 32, 1)
    with torch.no_grad():
        D[-1].bias.fill_(-3.0)  # below both targets, so that both are raised
    opt_g, opt_d = torch.optim.Adam(G.parameters(), 1e-3), torch.optim.Adam(D.parameters(), 1e-3)
    watch = trainwright.watch(total=40, sample=lambda n: G(torch.randn(n, 4)), real=real, say=None)
    for step in range(40):
        fake = G(torch.randn(32, 4))
        loss_d = (D(real[torch.randint(400, (32,))]) - 1).square().mean() + D(fake.detach()).square().mean()
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        loss_g = (D(fake) - 1).square().mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        watch(step, loss_D=loss_d, loss_G=loss_g)
    watch.diagnose()
    assert "labels_do_not_oppose" not in found(watch), found(watch)
    assert all("wiring" not in names for _, _, names in watch.verdicts)


class Translator(nn.Module):
    """Encoder and decoder; ``shifts`` says that the decoder shifts its input itself, ``leaks`` that it sees its own targets."""

    def __init__(self, shifts: bool) -> None:
        super().__init__()
        self.shifts = shifts
        self.embed, self.encode = nn.Embedding(12, 16), nn.GRU(16, 16, batch_first=True)
        self.decode, self.out = nn.GRU(16, 16, batch_first=True), nn.Linear(16, 12)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        context = self.encode(self.embed(source))[1]
        given = F.pad(target, (1, 0))[:, :-1] if self.shifts else target
        return self.out(self.decode(self.embed(given), context)[0])


@pytest.mark.parametrize("shifts", [True, False])
def test_a_decoder_that_shifts_its_input_or_has_a_source_is_sound(shifts):
    torch.manual_seed(0)
    tokens = torch.randint(1, 12, (200, 12))
    net = Translator(shifts)
    opt = torch.optim.Adam(net.parameters(), 1e-3)

    def sample(n: int) -> torch.Tensor:
        x = torch.zeros(n, 12, dtype=torch.long)
        for i in range(12):
            x[:, i] = net(tokens[:n], x)[:, i].argmax(1) if shifts else net(tokens[:n], x)[:, max(0, i - 1)].argmax(1)
        return x

    watch = trainwright.watch(total=120, sample=sample, real=tokens, say=None)
    for step in range(120):
        batch = tokens[torch.randint(200, (32,))]
        given = batch if shifts else F.pad(batch, (1, 0))[:, :-1]
        loss = F.cross_entropy(net(batch.flip(1), given).transpose(1, 2), batch)
        opt.zero_grad()
        loss.backward()
        opt.step()
        watch(step, loss=loss)
    watch.diagnose()
    assert "targets_in_input" not in found(watch), found(watch)
