"""GAN in the manner of Keras: the stacked model also trains the discriminator.

Source: github.com/osh/KerasGAN issue 1, closed with an update of the notebook.
The layers of the stacked model are listed, and those of the discriminator turn out to be trainable. Each
update of the generator also teaches the discriminator to call generated images real, and undoes what it has
just learned.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import trainwright
from benchmarks.public.case import Case
from benchmarks.public.materials import images
from trainwright.diagnosis.watch import Watch

CASE = Case(
    kind="adversarial",
    cause="parameters_shared",
    symptoms=(
        "wiring",
        "generator_dominance",
        "discriminator_guessing",
        "vanishing_losses",
        "dead_critic",
        "off_data",
        "mode_collapse",
        "mode_dropping",
        "colour_cast",
        "blur",
        "checkerboard",
        "oscillation",
        "plateau",
    ),
    spoils="samples",
    source="osh/KerasGAN#1",
    also=("gradients_of_other_loss", "discriminator_trained_by_generator"),
    seconds=25,
)


class Model:
    """The little of Keras that the notebook needs: a module that is compiled and trained on batches."""

    def __init__(self, *layers: nn.Module) -> None:
        self.net = nn.Sequential(*layers)
        self.trainable = list(self.net.parameters())

    def compile(self, lr: float) -> None:
        """Make the optimizer of the trainable weights."""
        self.optimizer = torch.optim.Adam(self.trainable, lr=lr, betas=(0.5, 0.999))

    def predict(self, x: Tensor) -> Tensor:
        """Return outputs without gradients."""
        with torch.no_grad():
            return self.net(x)

    def train_on_batch(self, x: Tensor, y: Tensor) -> float:
        """Do one update by categorical cross-entropy; return the loss."""
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.net(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.item()


def loop(fixed: bool) -> Watch:
    """Train; ``fixed`` is the repaired twin."""
    torch.manual_seed(1)
    X_train, nch = images("sprites", background=255), 32
    generator = Model(
        nn.Linear(64, nch * 2 * 4 * 4),
        nn.Unflatten(1, (nch * 2, 4, 4)),
        nn.BatchNorm2d(nch * 2),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(nch * 2, nch, 3, padding=1),
        nn.BatchNorm2d(nch),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(nch, 3, 3, padding=1),
        nn.Tanh(),
    )
    discriminator = Model(
        nn.Conv2d(3, nch, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Dropout(0.25),
        nn.Conv2d(nch, nch * 2, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(nch * 2 * 4 * 4, 2),
    )
    discriminator.compile(lr=5e-4)

    # Build stacked GAN model
    GAN = Model(generator.net, discriminator.net)
    if fixed:
        GAN.trainable = list(generator.net.parameters())
    GAN.compile(lr=5e-4)

    nb_epoch, batch_size = 1400, 32
    watch = trainwright.watch(total=nb_epoch, sample=lambda n: generator.predict(torch.randn(n, 64)), real=X_train)
    for e in range(nb_epoch):
        # Make generative images
        image_batch = X_train[torch.randint(len(X_train), (batch_size,))]
        generated_images = generator.predict(torch.randn(batch_size, 64))
        # Train discriminator on generated images: column 1 is real, column 0 is generated
        X = torch.cat([image_batch, generated_images])
        y = torch.cat([torch.ones(batch_size), torch.zeros(batch_size)]).long()
        d_loss = discriminator.train_on_batch(X, y)
        # Train Generator-Discriminator stack on input noise to non-generated output class
        g_loss = GAN.train_on_batch(torch.randn(batch_size, 64), torch.ones(batch_size).long())
        watch(e, d=d_loss, g=g_loss)
    return watch
