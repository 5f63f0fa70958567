"""Videos decoded once: frames and flow in the array cache, keyed by file contents and settings."""

import hashlib
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainwright.data.array_cache import Entry, Writer, cached, writing
from trainwright.data.cache import Progress
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
        skipped: (name, reason) of files that ``on_error: skip`` skipped.
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
    """Return the decoded videos of ``config.source``, from the cache or decoded now.

    Raises:
        UserError: no such source, or (with ``on_error: fail``) a file that is not a video, by name.
    """
    found = videos(config.source)
    settings = config.model_dump(mode="json", include=set(DECODED_BY))
    contents = [_content(v) for v in found]
    key = hashlib.sha256(json.dumps([VERSION, settings, contents], sort_keys=True).encode()).hexdigest()[:32]
    with writing("the decoded videos"):
        return _footage(
            cached("videos", key, lambda w: _decode_all(found, config, w, progress or (lambda done, total: None)))
        )


def _content(video: Video) -> list[str]:
    if video.path is None or video.stamp == "unreadable":
        return [video.name, video.stamp]
    try:
        return [video.name, sha256(video.path)]
    except OSError:
        return [video.name, "unreadable"]


def _decode_all(found: list[Video], config: VideoData, writer: Writer, progress: Progress) -> dict[str, Any]:
    total = sum(map(length, found))
    facts: dict[str, Any] = {"shots": [], "video": [], "names": [], "skipped": []}
    identity = hashlib.sha256()
    done = 0
    for video in found:
        start, before = done, identity.copy()
        try:
            for frame in _written(decode(video, config.size, config.fit), config, writer, done, facts["shots"]):
                identity.update(np.ascontiguousarray(frame).tobytes())
                done += 1
                progress(min(done, total), total)
        except ValueError as error:
            if config.on_error == "fail":
                raise UserError(
                    f"data: {video.name} {error}. Remove it, or skip such files with data.on_error=skip."
                ) from None
            facts["skipped"].append([video.name, str(error)])
            for name in ("frames", "flow"):  # a truncated video adds nothing
                writer.truncate(name, start)
            facts["shots"] = [shot for shot in facts["shots"] if shot[0] < start]
            done, identity = start, before
            continue
        facts["video"] += [len(facts["names"])] * (len(facts["shots"]) - len(facts["video"]))
        facts["names"].append(video.name)
    if not facts["names"]:
        raise UserError(f"data: none of the {len(found)} files in {config.source!r} is a video that can be read.")
    return {**facts, "identity": identity.hexdigest()[:16]}


def _written(
    decoded: Iterator[np.ndarray], config: VideoData, writer: Writer, first: int, shots: list[list[int]]
) -> Iterator[np.ndarray]:
    """Write frames in order, and the flow of each once its target frame is read."""
    shot: deque[np.ndarray] = deque(maxlen=config.skip)  # the newest frames of this shot
    last: np.ndarray | None = None
    for at, frame in enumerate(decoded, first):
        if last is None or is_cut(last, frame, config.cut):
            _end_shot(shot, writer, config)
            shots.append([at, at + 1])
        if config.flow and len(shot) == config.skip:
            writer.append("flow", flow(shot[0], frame)[None])
        shot.append(frame)
        writer.append("frames", frame[None])
        shots[-1][1] = at + 1
        last = frame
        yield frame
    _end_shot(shot, writer, config)


def _end_shot(shot: deque[np.ndarray], writer: Writer, config: VideoData) -> None:
    if config.flow and shot:
        writer.append("flow", np.zeros((len(shot), config.size, config.size, 2), np.float16))
    shot.clear()


def _footage(entry: Entry) -> Footage:
    facts = entry.facts
    return Footage(
        entry.arrays["frames"],
        entry.arrays.get("flow"),
        [(first, end) for first, end in facts["shots"]],
        facts["video"],
        facts["names"],
        [(name, reason) for name, reason in facts["skipped"]],
        facts["identity"],
    )
