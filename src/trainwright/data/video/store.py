"""Videos decoded once: frames and flow in memory-mapped arrays that are keyed by what is in the files and by the settings.

An interrupted decoding leaves nothing half-written under its name.
"""

import hashlib
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from trainwright.data.cache import Progress, cache_root, made_once, writing
from trainwright.data.video.config import VideoData
from trainwright.data.video.decode import decode, length
from trainwright.data.video.motion import flow, is_cut
from trainwright.data.video.sources import Video, videos
from trainwright.errors import UserError
from trainwright.files import sha256

VERSION = 2
DECODED_BY = ("size", "fit", "skip", "cut", "flow", "on_error")


@dataclass(frozen=True)
class Footage:
    """All frames of a source.

    Attributes:
        frames: (N, S, S, 3) uint8, memory-mapped.
        flow: (N, S, S, 2) float16: at frame t the flow from t to t + skip, zero where no frame follows in its shot; None: not wanted.
        shots: (first, end) of each stretch without a cut.
        video: which video each shot is of.
        names: of the videos.
        skipped: (name, reason) of files that ``on_error: skip`` passed over.
        identity: hash of all frames.
    """

    frames: np.ndarray
    flow: np.ndarray | None
    shots: list[tuple[int, int]]
    video: list[int]
    names: list[str]
    skipped: list[tuple[str, str]]
    identity: str


def load(config: VideoData, progress: Progress | None = None) -> Footage:
    """The decoded videos of ``config.source``, from the cache or made now.

    Raises:
        UserError: no such source, or (with ``on_error: fail``) a file that is no video, by name.
    """
    found = videos(config.source)
    settings = config.model_dump(mode="json", include=set(DECODED_BY))
    contents = [_content(v) for v in found]
    key = hashlib.sha256(json.dumps([VERSION, settings, contents], sort_keys=True).encode()).hexdigest()[:32]
    folder = cache_root() / "videos" / key
    with writing("the decoded videos"):
        made_once(folder, lambda t: _decode_all(found, config, t, progress or (lambda done, total: None)))
    return _open(folder, config)


def _content(video: Video) -> list[str]:
    if video.path is None or video.stamp == "unreadable":
        return [video.name, video.stamp]
    try:
        return [video.name, sha256(video.path)]
    except OSError:
        return [video.name, "unreadable"]


def _decode_all(found: list[Video], config: VideoData, folder: Path, progress: Progress) -> None:
    total = sum(map(length, found))
    index: dict[str, list] = {"shots": [], "video": [], "names": [], "skipped": []}
    done = 0
    with (folder / "frames.bin").open("wb") as frames, (folder / "flow.bin").open("wb") as flows:
        for video in found:
            start = done
            try:
                for _ in _written(decode(video, config.size, config.fit), config, frames, flows, done, index):
                    done += 1
                    progress(min(done, total), total)
            except ValueError as error:
                if config.on_error == "fail":
                    raise UserError(
                        f"data: {video.name} {error}. Remove it, or leave such files out with data.on_error=skip."
                    ) from None
                index["skipped"].append([video.name, str(error)])
                done = _forget(start, config, frames, flows, index)
                continue
            index["video"] += [len(index["names"])] * (len(index["shots"]) - len(index["video"]))
            index["names"].append(video.name)
    if not index["names"]:
        raise UserError(f"data: none of the {len(found)} files in {config.source!r} is a video that can be read.")
    facts = {**index, "frames": done, "identity": sha256(folder / "frames.bin")[:16]}
    (folder / "index.json").write_text(json.dumps(facts), encoding="utf-8")


def _written(
    decoded: Iterator[np.ndarray], config: VideoData, frames: BinaryIO, flows: BinaryIO, first: int, index: dict
) -> Iterator[np.ndarray]:
    """Writes frames as they come, and the flow of each as soon as the frame that it leads to is there."""
    shot: deque[np.ndarray] = deque(maxlen=config.skip)  # the newest frames of this shot
    last: np.ndarray | None = None
    nothing = np.zeros((config.size, config.size, 2), np.float16).tobytes()
    for at, frame in enumerate(decoded, first):
        if last is None or is_cut(last, frame, config.cut):
            _end_shot(shot, flows, nothing, config.flow)
            index["shots"].append([at, at + 1])
        if config.flow and len(shot) == config.skip:
            flows.write(flow(shot[0], frame).tobytes())
        shot.append(frame)
        frames.write(np.ascontiguousarray(frame).tobytes())
        index["shots"][-1][1] = at + 1
        last = frame
        yield frame
    _end_shot(shot, flows, nothing, config.flow)


def _end_shot(shot: deque[np.ndarray], flows: BinaryIO, nothing: bytes, wanted: bool) -> None:
    if wanted:
        flows.write(nothing * len(shot))
    shot.clear()


def _forget(start: int, config: VideoData, frames: BinaryIO, flows: BinaryIO, index: dict) -> int:
    """Takes back what a video that broke off has left."""
    area = config.size**2
    for out, bytes_a_frame in ((frames, 3 * area), (flows, 4 * area if config.flow else 0)):
        out.flush()
        out.seek(start * bytes_a_frame)
        out.truncate()
    index["shots"] = [shot for shot in index["shots"] if shot[0] < start]
    return start


def _open(folder: Path, config: VideoData) -> Footage:
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    shape = (index["frames"], config.size, config.size)
    area = int(np.prod(shape))
    sizes = [(folder / name).stat().st_size for name in ("frames.bin", "flow.bin")]
    if sizes != [3 * area, 4 * area if config.flow else 0]:
        raise UserError(f"data: the cached videos in {folder} are damaged; remove that folder and run again.")
    flows = np.memmap(folder / "flow.bin", np.float16, "r", shape=(*shape, 2)) if config.flow else None
    return Footage(
        np.memmap(folder / "frames.bin", np.uint8, "r", shape=(*shape, 3)),
        flows,
        [(first, end) for first, end in index["shots"]],
        index["video"],
        index["names"],
        [(name, reason) for name, reason in index["skipped"]],
        index["identity"],
    )
