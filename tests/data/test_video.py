"""Videos are read once, cuts are found, no frame is on both sides, and a broken file is named."""

import shutil
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from trainwright.data.video import store
from trainwright.data.video.config import VideoData
from trainwright.data.video.dataset import Clips, mirror, turn
from trainwright.data.video.decode import decode
from trainwright.data.video.motion import flow, is_cut
from trainwright.data.video.sources import Video, square, videos
from trainwright.data.video.store import Footage
from trainwright.data.video.windows import split_windows
from trainwright.errors import UserError

CLIPS = [v.path for v in videos("clips") if v.path is not None]


@pytest.fixture(scope="module")
def clips() -> Clips:
    return Clips.open(VideoData(skip=2))


def write_video(file: Path, frames: np.ndarray, options: dict[str, str] | None = None) -> Path:
    """(n, H, W, 3) uint8 frames as a file."""
    import av

    with av.open(str(file), "w", options=options or {}) as container:
        stream = container.add_stream("mpeg4", rate=25, options={"qscale": "2"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return file


def test_the_packaged_clips_and_their_one_cut(clips: Clips) -> None:
    """The city has two shots; the cut lies where the data page says that there is one."""
    assert clips.footage.shots == [(0, 132), (132, 248), (248, 322), (322, 623)]
    assert clips.footage.video == [0, 1, 1, 2]
    assert clips.footage.frames.shape == (623, 32, 32, 3)


def test_no_window_spans_a_cut_and_no_frame_is_on_both_sides(clips: Clips) -> None:
    span = clips.config.span
    used = {}
    for name, starts in (("train", clips.train), ("held_out", clips.held_out)):
        used[name] = {int(t) for s in starts for t in range(s, s + span)}
        for start in starts:
            assert any(a <= start and start + span <= b for a, b in clips.footage.shots)
    assert not used["train"] & used["held_out"]
    assert len(clips.held_out) > 0.08 * len(clips.train)
    of_video = [
        {clips.footage.video[i] for i, (a, b) in enumerate(clips.footage.shots) if a <= s < b} for s in clips.held_out
    ]
    assert set().union(*of_video) == {0, 1, 2}  # something of every video


def test_a_window_is_what_the_file_holds(clips: Clips) -> None:
    start = int(clips.train[5])
    window = torch.from_numpy(clips.windows(clips.train[5:6]))
    assert np.array_equal(
        window[0, :, :, :, :3].numpy(), clips.footage.frames[[start, start + 2, start + 4, start + 6]]
    )
    from trainwright.data.video.dataset import unpacked

    found = unpacked(window)
    assert found.shape == (1, 4, 5, 32, 32)
    assert clips.footage.flow is not None
    assert np.array_equal(found[0, 0, 3:].numpy(), clips.footage.flow[start].astype(np.float32).transpose(2, 0, 1))
    assert -1 <= float(found[:, :, :3].min()) <= float(found[:, :, :3].max()) <= 1


def test_the_flow_of_a_shift_is_the_shift() -> None:
    own = np.random.default_rng(0)
    import cv2

    big = cv2.GaussianBlur(own.integers(0, 255, (96, 96, 3), dtype=np.uint8), (0, 0), 2)
    found = flow(big[10:74, 10:74], big[9:73, 8:72]).astype(
        float
    )  # what was at (x, y) is now 2 to the right and 1 down
    middle = found[12:-12, 12:-12]
    assert np.median(middle[..., 0]) == pytest.approx(2, abs=0.2)
    assert np.median(middle[..., 1]) == pytest.approx(1, abs=0.2)


def test_a_mirrored_window_moves_the_other_way() -> None:
    frames = np.stack(list(square(32)))
    a, b = frames[1], frames[2]
    once = flow(a, b).astype(float)
    turned = flow(a[:, ::-1].copy(), b[:, ::-1].copy()).astype(float)
    clip = torch.zeros(1, 1, 5, 32, 32)
    clip[0, 0, 3:] = torch.from_numpy(once.transpose(2, 0, 1))
    mirrored = mirror(clip)[0, 0, 3:].numpy().transpose(1, 2, 0)
    assert np.sign(mirrored[..., 0].sum()) == np.sign(turned[..., 0].sum()) != 0
    assert torch.equal(mirror(mirror(clip)), clip)


def test_a_turned_window_moves_where_it_was_turned() -> None:
    frames = np.stack(list(square(32)))
    a, b = frames[1], frames[2]
    clip = torch.zeros(1, 1, 5, 32, 32)
    clip[0, 0, 3:] = torch.from_numpy(flow(a, b).astype(float).transpose(2, 0, 1))
    for quarters in (1, 2, 3):
        seen = flow(*(np.rot90(frame, quarters).copy() for frame in (a, b))).astype(float)
        moved = turn(clip, quarters)[0, 0, 3:]
        for axis in (0, 1):
            assert np.sign(float(moved[axis].sum())) == np.sign(seen[..., axis].sum()) != 0
    assert torch.equal(turn(turn(clip, 3), 1), clip)
    pixels = torch.rand(1, 1, 5, 32, 32)
    assert torch.equal(turn(pixels, 1)[0, 0, 0, 0], pixels[0, 0, 0, :, -1])  # what was on the right is on top


def test_the_square_moves_by_its_rule() -> None:
    frames = list(square(64))
    assert frames[3][9:25, 15:31].reshape(-1, 3).tolist() == [[30, 15, 6]] * 256
    assert frames[3].sum() == 256 * 51


def test_any_folder_of_videos_and_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    write_video(tmp_path / "sub" / "a.avi", np.stack(list(square(64)))[:60])
    shutil.copy(CLIPS[0], tmp_path)
    steps: list[tuple[int, int]] = []
    made = Clips.open(VideoData(source=str(tmp_path)), lambda done, total: steps.append((done, total)))
    assert steps[-1] == (192, 192)
    assert made.footage.names == ["bigbuckbunny_ccby_192x108.mp4", "sub/a.avi"]
    monkeypatch.setattr(store, "_decode_all", None)  # a second time nothing is decoded
    again = Clips.open(VideoData(source=str(tmp_path)))
    assert again.identity == made.identity
    monkeypatch.undo()
    (tmp_path / "sub" / "a.avi").unlink()
    assert Clips.open(VideoData(source=str(tmp_path))).identity != made.identity


def test_a_single_file_will_do() -> None:
    assert len(Clips.open(VideoData(source=str(CLIPS[0]), size=16, flow=False)).footage.frames) == 132


def test_a_broken_file_is_named_or_left_out(tmp_path: Path) -> None:
    shutil.copy(CLIPS[0], tmp_path / "good.mp4")
    (tmp_path / "notes.txt").write_text("not a video")
    whole = CLIPS[0].read_bytes()
    (tmp_path / "half.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"half.mp4 .*on_error=skip"):
        Clips.open(VideoData(source=str(tmp_path)))
    left = Clips.open(VideoData(source=str(tmp_path), on_error="skip"))
    assert {name for name, _ in left.skipped} == {"half.mp4", "notes.txt"}
    assert left.footage.shots == [(0, 132)]


def test_what_a_video_that_breaks_off_has_left_is_taken_back(tmp_path: Path) -> None:
    """An MPEG file without an index decodes until its damage; nothing of it may stay in frames, flow or shots."""

    def frames(video, size, fit):  # type: ignore[no-untyped-def]
        for i, frame in enumerate(square(size)):
            if video.name == "a.mp4" and i == 7:
                raise ValueError("breaks off: its data are damaged")
            yield frame

    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(name.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "decode", frames)
        left = Clips.open(VideoData(source=str(tmp_path), on_error="skip", size=16))
    assert (left.footage.names, left.footage.shots, left.footage.frames.shape[0]) == (["b.mp4"], [(0, 240)], 240)
    assert np.array_equal(left.footage.frames[3], list(square(16))[3])
    assert left.footage.flow is not None and left.footage.flow.shape == (240, 16, 16, 2)


def test_too_short_a_video_is_said_to_be_so(tmp_path: Path) -> None:
    write_video(tmp_path / "short.avi", np.stack(list(square(32)))[:3])
    with pytest.raises(UserError, match="longest shot has 3 frames"):
        Clips.open(VideoData(source=str(tmp_path)))


def test_a_misspelt_source_is_told_the_nearest() -> None:
    with pytest.raises(UserError, match="clips"):
        videos("clip")


def drawn(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frames that differ and move, none of which is flat."""
    own = np.random.default_rng(5)
    wide = own.integers(0, 255, (height, width + count, 3), dtype=np.uint8)
    return np.stack([wide[:, i : i + width] for i in range(count)])


@pytest.mark.parametrize("name", ["whole.mp4", "whole.mkv", "whole.avi"])
def test_a_file_that_is_cut_off_is_named_even_if_its_beginning_can_be_read(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    write_video(file, drawn(100), {"movflags": "faststart"} if name.endswith("mp4") else {})
    assert len(list(decode(Video(name, "", file), 32, "crop"))) == 100
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=rf"{name} breaks off"):
        Clips.open(VideoData(source=str(tmp_path)))


def test_texts_and_pictures_are_no_videos(tmp_path: Path) -> None:
    write_video(tmp_path / "good.mp4", drawn(60))
    (tmp_path / "notes.txt").write_text("a line of some notes\n" * 200)
    cv2.imwrite(str(tmp_path / "thumb.jpg"), drawn(1)[0])
    left = Clips.open(VideoData(source=str(tmp_path), on_error="skip"))
    assert left.footage.names == ["good.mp4"]
    assert dict(left.skipped) == {
        "notes.txt": "is not a video but a text",
        "thumb.jpg": "is not a video but an image",
    }


def test_a_video_that_was_taken_upright_is_turned(tmp_path: Path) -> None:
    frames = drawn(3)
    frames[:, :, :8] = 255  # a bright edge on the left
    write_video(tmp_path / "flat.mp4", frames)
    content = (tmp_path / "flat.mp4").read_bytes()
    plain = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    clockwise = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    at = content.index(b"tkhd")
    at = content.index(plain, at)
    (tmp_path / "upright.mp4").write_bytes(content[:at] + clockwise + content[at + len(plain) :])
    flat, upright = (next(decode(Video(n, "", tmp_path / n), 32, "stretch")) for n in ("flat.mp4", "upright.mp4"))
    assert flat[:, :3].mean() > 220 > flat[:, 8:].mean()
    assert upright[:3].mean() > 220 > upright[8:].mean()  # what was left is up


@pytest.mark.parametrize("count, length", [(20, 80), (50, 24), (3, 60)])
def test_a_folder_of_short_videos_holds_out_the_share_that_was_asked_for(count: int, length: int) -> None:
    frames = np.random.default_rng(1).integers(0, 255, (count * length, 2, 2, 3), dtype=np.uint8)
    shots = [(i * length, (i + 1) * length) for i in range(count)]
    footage = Footage(frames, None, shots, list(range(count)), [str(i) for i in range(count)], [], "")
    train, held = split_windows(footage, VideoData(source="x", held_out=0.2))
    assert 0.1 < len(held) / (len(held) + len(train)) < 0.4
    apart = {f for first in held for f in range(first, first + VideoData(source="x").span)}
    assert not apart & {f for first in train for f in range(first, first + VideoData(source="x").span)}


def test_a_plain_picture_that_goes_to_the_next_box_of_colour_is_no_cut() -> None:
    before, after = (np.full((16, 16, 3), level, np.uint8) for level in (95, 96))
    assert not is_cut(before, after, 0.3)
    assert is_cut(before, np.full((16, 16, 3), 140, np.uint8), 0.3)
