"""Any folder of images: formats, modes, the cache, the split, errors by name."""

import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from trainwright.data.augment import augment
from trainwright.data.cache import load
from trainwright.data.config import Augment, ImageData
from trainwright.data.images import Images, to_bytes, to_signed
from trainwright.data.sources import items
from trainwright.data.split import split
from trainwright.errors import UserError

RED_DOT = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
RED_DOT.putpixel((3, 5), (255, 0, 0, 255))


def test_the_packaged_emoji_are_1897_and_each_has_its_name():
    emoji = {item.name: item for item in items("emoji")}
    assert len(emoji) == 1897
    heart, moon = (np.asarray(emoji[name].open().convert("RGBA"))[16, 16] for name in ("heart", "new_moon"))
    assert heart[0] > 150 and heart[1:3].max() < 90 and heart[3] == 255  # red in the middle
    assert moon[:3].max() < 120 and moon[3] == 255  # dark
    pixels = load(ImageData(source="emoji", size=32)).pixels
    assert pixels.shape == (1897, 32, 32, 3)


def test_the_packaged_sprites_are_949_and_flattened_on_the_named_colour():
    white, black = (load(ImageData(source="sprites", size=32, background=c)) for c in ("white", "black"))
    assert len(white.names) == 949
    assert white.pixels.shape == (949, 32, 32, 3)
    assert white.pixels[0].max() == 255
    assert white.pixels.mean() > black.pixels.mean() + 40


@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "gif", "bmp"])
def test_formats_in_nested_folders(tmp_path, form):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for i in range(3):
        Image.new("RGB", (40, 40), (60 * i, 100, 50)).save(tmp_path / "a" / "b" / f"{i}.{form}")
    images = load(ImageData(source=str(tmp_path), size=16))
    assert images.pixels.shape == (3, 16, 16, 3)
    assert np.abs(images.pixels[2, 8, 8].astype(int) - [120, 100, 50]).max() < 12


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_modes(tmp_path, mode):
    for i in range(2):
        image = RED_DOT.copy()
        image.putpixel((i, 0), (0, 255, 0, 255))
        if mode == "I;16":
            Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257).save(tmp_path / f"{i}.png")
        else:
            form = "tiff" if mode == "CMYK" else "png"
            base = image if mode in ("RGBA", "LA") else image.convert("RGB")
            base.convert(mode).save(tmp_path / f"{i}.{form}")
    assert load(ImageData(source=str(tmp_path), size=32)).pixels.shape == (2, 32, 32, 3)


def test_alpha_is_kept_as_a_fourth_channel_and_pixel_art_stays_crisp(tmp_path):
    RED_DOT.save(tmp_path / "0.png")
    RED_DOT.rotate(90).save(tmp_path / "1.png")
    pixels = load(ImageData(source=str(tmp_path), size=64, channels=4)).pixels
    assert sorted(np.unique(pixels[..., 3])) == [0, 255]
    assert (pixels[0, 10:12, 6:8] == [255, 0, 0, 255]).all()


def test_the_first_frame_of_an_animation_is_taken(tmp_path):
    for name in "ab":
        frames = [Image.new("RGB", (16, 16), c) for c in ((255, 0, 0), (0, 0, 255))]
        frames[0].putpixel((ord(name) % 16, 0), (0, 255, 0))
        frames[0].save(tmp_path / f"{name}.gif", save_all=True, append_images=frames[1:])
    assert load(ImageData(source=str(tmp_path), size=16)).pixels[0, 8, 8].tolist() == [255, 0, 0]


def test_fit_crop_pad_and_stretch(tmp_path):
    for i in range(2):
        image = Image.new("RGB", (64, 32), (0, 0, 255))
        image.paste((255, 0, 0), (0, 0, 8, 32))
        image.putpixel((40 + i, 9), (0, 255, 0))
        image.save(tmp_path / f"{i}.png")

    def corner(fit):
        return load(ImageData(source=str(tmp_path), size=32, fit=fit)).pixels[0]

    assert corner("crop")[16, 0].tolist() == [0, 0, 255]
    assert corner("stretch")[16, 0].tolist() == [255, 0, 0]
    assert corner("pad")[1, 16].tolist() == [255, 255, 255]


def test_a_broken_file_fails_by_name_or_is_listed(tmp_path, sprites):
    shutil.copytree(sprites, tmp_path / "s")
    (tmp_path / "s" / "notes.txt").write_text("hello")
    with pytest.raises(UserError, match=r"notes\.txt is not an image.*on_error=skip"):
        load(ImageData(source=str(tmp_path / "s"), size=32))
    images = load(ImageData(source=str(tmp_path / "s"), size=32, on_error="skip"))
    assert len(images.names) == 40
    assert images.skipped[0][0] == "notes.txt"


def test_the_cache_is_keyed_by_content(tmp_path, sprites):
    shutil.copytree(sprites, tmp_path / "s")
    config = ImageData(source=str(tmp_path / "s"), size=32)
    first = load(config)
    calls = []
    assert load(config, lambda d, t: calls.append(d)).identity == first.identity
    assert calls == [], "decoded again although nothing changed"
    victim = next((tmp_path / "s").rglob("*.png"))
    Image.new("RGB", (32, 32), (1, 2, 3)).save(victim)
    assert load(config).identity != first.identity
    shutil.copytree(sprites, tmp_path / "elsewhere")
    load(ImageData(source=str(tmp_path / "elsewhere"), size=32), lambda d, t: calls.append(d))
    assert calls == [], "the same content in another folder was decoded again"


def test_copies_never_sit_on_both_sides_and_sides_are_stable(tmp_path, sprites):
    images = load(ImageData(source=str(sprites), size=32))
    digests = images.digests * 2
    train, held = split(digests, 0.3)
    assert not {digests[i] for i in train} & {digests[i] for i in held}
    smaller_train, _ = split(images.digests[:20], 0.3)
    assert set(smaller_train) == {i for i in train if i < 20}


def test_a_stream_shows_each_picture_once_an_epoch(sprites):
    data = Images.open(ImageData(source=str(sprites), size=32, held_out=0.0))
    seen = np.concatenate([data.fetch(0, start, 8).reshape(8, -1) for start in range(0, 40, 8)])
    assert len(np.unique(seen, axis=0)) == len(np.unique(data.stored.pixels.reshape(40, -1), axis=0))
    assert (data.fetch(0, 40, 8) != data.fetch(0, 0, 8)).any()
    assert (data.fetch(0, 36, 8) == np.concatenate([data.fetch(0, 36, 4), data.fetch(0, 40, 4)])).all()


def test_bytes_survive_the_way_to_floats_and_back():
    raw = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1)
    assert (to_bytes(to_signed(raw)) == raw.numpy()).all()


def test_augmentation_of_nothing_changes_nothing_and_flips_flip():
    images = torch.rand(64, 3, 16, 16) * 2 - 1
    ground = torch.ones(3)
    assert torch.equal(augment(images, Augment(flip=0.0), ground), images)
    flipped = augment(images, Augment(flip=0.5), ground)
    share = (flipped != images).flatten(1).any(1).float().mean()
    assert 0.2 < share < 0.8
    assert torch.equal(augment(images, Augment(flip=1.0), ground), images.flip(-1))


def test_rotation_shows_the_background_and_jitter_spares_alpha():
    ground = torch.tensor([1.0, -1.0, 0.5])
    plain = ground[None, :, None, None].expand(4, 3, 32, 32)
    assert torch.allclose(augment(plain, Augment(flip=0.0, rotation=45.0), ground), plain, atol=1e-5)
    images = torch.rand(8, 4, 16, 16) * 2 - 1
    jittered = augment(images, Augment(flip=0.0, color_jitter=(0.3, 0.3, 0.3, 0.1)), torch.ones(4))
    assert torch.equal(jittered[:, 3], images[:, 3])
    assert not torch.equal(jittered[:, :3], images[:, :3])
    assert jittered.abs().max() <= 1


def test_hue_jitter_keeps_luma():
    images = torch.rand(8, 3, 16, 16) * 0.4
    turned = augment(images, Augment(flip=0.0, color_jitter=(0.0, 0.0, 0.0, 0.02)), torch.ones(3))
    luma = torch.tensor([0.299, 0.587, 0.114])
    assert torch.allclose(*(torch.einsum("c,bchw->bhw", luma, x) for x in (images, turned)), atol=2e-2)


def test_interrupted_decoding_leaves_nothing(tmp_path, sprites, monkeypatch):
    monkeypatch.setenv("TRAINWRIGHT_CACHE", str(tmp_path / "cache"))

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(ImageData(source=str(sprites), size=32), interrupt)
    assert list((tmp_path / "cache" / "arrays" / "images").iterdir()) == []


def test_a_damaged_cache_is_noticed(sprites):
    config = ImageData(source=str(sprites), size=16)
    images = load(config)
    file = images.pixels.filename
    os.truncate(file, 100)
    with pytest.raises(UserError, match="remove that folder"):
        load(config)
    shutil.rmtree(os.path.dirname(file))
