"""Logs that other programs write, as they write them, and what is said when there is nothing to read."""

import json
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest

from trainwright.diagnosis.importers import read, wandb
from trainwright.errors import UserError

LIGHTNING = """epoch,lr-Adam,step,train_loss_epoch,train_loss_step,val_loss
,0.001,49,,,
0,,49,,0.91,
0,,99,,0.72,
0,,99,,,0.80
0,,99,0.81,,
,0.001,149,,,
1,,149,,0.55,
1,,199,,0.44,
1,,199,,,nan
1,,199,0.50,,
"""


def write(folder, name, text, encoding="utf-8"):
    (folder / name).write_text(text, encoding=encoding)
    return folder / name


def values(log, signal):
    series = log.history.signals[signal]
    return list(series.steps), list(series.values)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_delimiter_and_encoding(tmp_path, mark, encoding):
    text = "step,d_loss,g_loss\n100,1.38,0.70\n200,1.21,0.93\n300,1.02,1.17\n".replace(",", mark)
    log = read(write(tmp_path, "losses.csv", text, encoding))
    assert values(log, "discriminator/loss") == ([100, 200, 300], [1.38, 1.21, 1.02])
    assert (log.kind, log.unused, log.notes) == ("csv", [], ())


def test_lightning_leaves_cells_empty_and_a_nan_stays(tmp_path):
    log = read(write(tmp_path, "metrics.csv", LIGHTNING))
    assert log.columns == {"lr-Adam": "lr/all", "train_loss_step": "loss", "val_loss": "validation/loss"}
    assert values(log, "loss") == ([49, 99, 149, 199], [0.91, 0.72, 0.55, 0.44])
    steps, seen = values(log, "validation/loss")
    assert steps == [99, 199] and seen[0] == 0.8 and np.isnan(seen[1])
    assert any("train_loss_epoch" in note for note in log.notes) and log.unused == []


def test_quotes_infinities_tensors_and_a_torn_last_row(tmp_path):
    text = (
        '"iter","Loss_D","note, long"\n1,"0.5",a\n2,inf,"b, c"\n3,-Infinity,d\n4,"tensor(0.25, device=\'cuda:0\')",e\n5'
    )
    steps, seen = values(read(write(tmp_path, "l.csv", text)), "discriminator/loss")
    assert steps == [1, 2, 3, 4] and seen == [0.5, np.inf, -np.inf, 0.25]


def test_decimal_commas(tmp_path):
    log = read(write(tmp_path, "l.csv", "epoch;loss\n1;0,5\n2;0,25\n"))
    assert values(log, "loss") == ([1, 2], [0.5, 0.25])


def test_rows_without_a_counter_are_counted(tmp_path):
    log = read(write(tmp_path, "l.csv", "d_loss,g_loss\n1,2\n\n3,4\n"))
    assert values(log, "generator/loss") == ([1, 2], [2, 4])
    assert any("rows were counted" in note for note in log.notes)


def test_a_file_without_a_header_is_read_with_names_by_hand(tmp_path):
    file = write(tmp_path, "l.txt", "1 1.3\n2 1.1\n3 0.9\n")
    assert read(file).unused == ["1", "2"]
    log = read(file, {"2": "discriminator/loss"}, step="1")
    assert values(log, "discriminator/loss") == ([1, 2, 3], [1.3, 1.1, 0.9])


def test_numpys_savetxt_header(tmp_path):
    log = read(write(tmp_path, "l.txt", "# step loss\n1.0e+00 5.0e-01\n2.0e+00 2.5e-01\n"))
    assert values(log, "loss") == ([1, 2], [0.5, 0.25])


def test_a_header_repeated_by_a_restart_and_steps_done_again(tmp_path):
    log = read(write(tmp_path, "l.csv", "step,loss\n1,9\n2,8\n3,7\nstep,loss\n2,6\n3,5\n4,4\n"))
    assert values(log, "loss") == ([1, 2, 3, 4], [9, 6, 5, 4])
    assert any("resumed" in note for note in log.notes)


def test_batches_counted_anew_in_every_epoch(tmp_path):
    rows = "".join(f"{e},{b},{e * 3 + b}\n" for e in range(4) for b in range(3))
    log = read(write(tmp_path, "l.csv", "epoch,batch,d_loss\n" + rows))
    assert values(log, "discriminator/loss") == (list(range(12)), list(range(12)))


def test_an_epoch_that_stands_still_counts_no_steps(tmp_path):
    rows = "".join(f"{i // 10},{i}\n" for i in range(40))
    log = read(write(tmp_path, "l.csv", "epoch,loss\n" + rows))
    assert values(log, "loss")[1] == list(range(40))


def test_pandas_index_and_names_that_are_there_twice(tmp_path):
    log = read(write(tmp_path, "l.csv", ",loss,loss\n0,5,50\n1,4,40\n"))
    assert values(log, "loss") == ([0, 1], [5, 4]) and log.unused == ["loss (3)"]


def test_the_csv_of_tensorboards_download_button(tmp_path):
    text = "Wall time,Step,Value\n1600000000.1,0,1.4\n1600000001.1,50,1.1\n"
    assert values(read(write(tmp_path, "run-dcgan-tag-Loss_D.csv", text)), "discriminator/loss") == (
        [0, 50],
        [1.4, 1.1],
    )


def test_json_lines_with_a_torn_last_one_nested_values_and_statistics(tmp_path):
    rows = [
        {"Progress/kimg": {"num": 1, "mean": 4 * i}, "Loss/D/loss": {"num": 9, "mean": 1.3 - i / 10}, "timestamp": 1e9}
        for i in range(3)
    ]
    log = read(write(tmp_path, "stats.jsonl", "\n".join(map(json.dumps, rows)) + '\n{"Progress/ki'))
    assert values(log, "discriminator/loss") == ([0, 4, 8], [1.3, 1.2, 1.1])
    nested = (
        '{"step": 1, "train": {"loss": 0.5}, "text": "a", "ok": true}\n'
        '{"step": 2, "train": {"loss": NaN}}\n{"step": 3, "train": {"loss": "inf"}}\n'
    )
    steps, seen = values(read(write(tmp_path, "n.jsonl", nested)), "loss")
    assert steps == [1, 2, 3] and seen[0] == 0.5 and np.isnan(seen[1]) and seen[2] == np.inf


def test_a_list_of_objects_as_chainer_writes_it(tmp_path):
    rows = [{"epoch": 0, "elapsed_time": 1.5, "iteration": 100 * i, "loss_gen": 1.4, "loss_dis": 0.9} for i in (1, 2)]
    log = read(write(tmp_path, "log", json.dumps(rows, indent=4)))
    assert values(log, "discriminator/loss") == ([100, 200], [0.9, 0.9]) and log.unused == []


def test_a_trainer_state(tmp_path):
    history = [
        {"epoch": i / 2, "step": 10 * i, "loss": 3 / i, "learning_rate": 5e-5, "grad_norm": 1.2} for i in (1, 2, 3)
    ]
    history += [
        {"epoch": 1.5, "step": 30, "eval_loss": 1.5, "eval_runtime": 2.0},
        {"step": 30, "train_loss": 2.0, "total_flos": 1e9},
    ]
    state = {"best_metric": None, "global_step": 30, "log_history": history, "max_steps": 600}
    for name in ("checkpoint-30", "checkpoint-9"):
        (tmp_path / name).mkdir()
    write(tmp_path / "checkpoint-9", "trainer_state.json", json.dumps({"log_history": history[:1]}))
    write(tmp_path / "checkpoint-30", "trainer_state.json", json.dumps(state, indent=2))
    log = read(tmp_path)
    assert log.kind == "huggingface" and log.history.total == 600
    assert values(log, "loss") == ([10, 20, 30], [3, 1.5, 1])
    assert values(log, "validation/loss") == ([30], [1.5]) and log.unused == []


def test_a_keras_history(tmp_path):
    log = read(
        write(
            tmp_path,
            "history.json",
            json.dumps({"loss": [3, 2, 1], "kl_loss": [0.1, 0.2, 0.3], "val_loss": [3.5, 2.5]}),
        )
    )
    assert log.kind == "keras"
    assert values(log, "loss") == ([1, 2, 3], [3, 2, 1]) and values(log, "validation/loss") == ([1, 2], [3.5, 2.5])


def test_a_folder_that_watch_wrote(tmp_path):
    write(
        tmp_path,
        "metrics.jsonl",
        "".join(f'{{"step": {i}, "loss_D": 1.0, "samples/coverage": 0.5, "speed/x": 3}}\n' for i in range(5)),
    )
    write(tmp_path, "events.jsonl", '{"step": 1}\n')
    log = read(tmp_path)
    assert set(log.history.signals) == {"discriminator/loss", "samples/coverage"} and log.unused == []


def test_mapping_by_hand_and_what_stays_unknown(tmp_path):
    file = write(tmp_path, "l.csv", "it,my_thing,lpips\n1,2,50\n2,1,40\n")
    assert read(file).unused == ["my_thing", "lpips"]
    assert read(file, {"my_thing": "generator/loss"}).columns == {"my_thing": "generator/loss"}
    with pytest.raises(UserError, match=r"no such column. Did you mean 'my_thing'"):
        read(file, {"my_thin": "generator/loss"})
    with pytest.raises(UserError, match=r"no such signal. Did you mean 'generator/loss'"):
        read(file, {"my_thing": "generator/los"})
    with pytest.raises(UserError, match="no numeric column 'steps'"):
        read(file, step="steps")


def test_scores_are_not_read_as_losses(tmp_path):
    rows = "".join(f"{i},{-2 - i / 50},{1 + i / 99},{-1 - i / 99}\n" for i in range(60))
    log = read(write(tmp_path, "l.csv", "step,d_loss,D_real,D_fake\n" + rows))
    assert log.columns == {"d_loss": "discriminator/loss"}
    assert any("D_real, D_fake" in note for note in log.notes)


# TensorBoard


def events(folder, **tags):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for tag, series in tags.items():
            for step, value in enumerate(series):
                writer.add_scalar(tag.replace("__", "/"), value, 10 * step)


def test_tensorboard_scalars_all_of_them_and_as_its_own_reader_reads_them(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events(tmp_path, Loss__D=np.linspace(1.4, 0.2, 12_000), Loss__G=[0.7, float("nan")])
    log = read(tmp_path)
    own = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload().Scalars("Loss/D")
    assert values(log, "discriminator/loss") == ([e.step for e in own], [e.value for e in own])
    assert np.isnan(log.history.signals["generator/loss"].last)


def test_of_several_runs_the_longest_is_read_and_that_is_said(tmp_path):
    events(tmp_path / "version_0", loss=[3, 2])
    events(tmp_path / "version_1", loss=[3, 2, 1])
    log = read(tmp_path)
    assert values(log, "loss")[1] == [3, 2, 1]
    assert "was read, version_1" in log.notes[0] and "version_0" in log.notes[0]


def test_parts_of_one_run_in_folders_side_by_side(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path / "a")) as writer:
        writer.add_scalar("lr", 0.1, 1)
        for step in range(3):
            writer.add_scalars("Loss", {"train": 3 - step, "val": 4 - step}, step)
    log = read(tmp_path / "a")
    assert log.columns == {"lr": "lr/all", "Loss/train": "loss", "Loss/val": "validation/loss"} and log.notes == ()
    events(tmp_path / "b" / "train", epoch_loss=[3, 2])
    events(tmp_path / "b" / "validation", epoch_loss=[5, 4])
    assert values(read(tmp_path / "b"), "validation/loss")[1] == [5, 4]


def test_scalars_as_tensorflow_writes_them_and_a_torn_file(tmp_path):
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.util.tensor_util import make_tensor_proto

    blob = b""
    for step in range(4):
        value = Summary.Value(tag="epoch_loss", tensor=make_tensor_proto(np.float32(step)))
        value.metadata.plugin_data.plugin_name = "scalars"
        data = Event(step=step, summary=Summary(value=[value])).SerializeToString()
        blob += struct.pack("<QI", len(data), 0) + data + bytes(4)
    file = tmp_path / "events.out.tfevents.1.host.v2"
    file.write_bytes(blob[:-9])
    assert values(read(file), "loss") == ([0, 1, 2], [0, 1, 2])


# W&B

LOG = """
import wandb
run = wandb.init(mode="offline", project="p", config={"lr": 0.1}, settings=wandb.Settings(console="off", x_disable_stats=True))
for i in range(400):
    more = {"vae": {"kl": 0.5}, "fid": 9, "note": "x" * 300}
    run.log({"d_loss": 1.38 - i / 1000, "g_loss": float("nan") if i == 399 else 0.7 + i / 1000, **more})
run.finish()
"""


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """A folder with a run that W&B itself wrote."""
    pytest.importorskip("wandb")
    folder = tmp_path_factory.mktemp("wandb")
    known = {"WANDB_DIR": str(folder), "WANDB_SILENT": "true", "HOME": str(folder)}
    subprocess.run([sys.executable, "-c", LOG], check=True, timeout=240, env={**os.environ, **known}, cwd=folder)
    return folder


def test_a_wandb_offline_run(offline):
    for place in (offline, *offline.glob("wandb/offline-run-*"), *offline.glob("wandb/offline-run-*/*.wandb")):
        log = read(place)
        assert log.kind == "wandb"
        assert log.columns == {
            "d_loss": "discriminator/loss",
            "g_loss": "generator/loss",
            "vae/kl": "kl/raw",
            "fid": "samples/fid",
        }
        assert log.unused == []
        steps, seen = values(log, "discriminator/loss")
        assert steps == list(range(400)) and np.allclose(seen, 1.38 - np.arange(400) / 1000)
        assert np.isnan(log.history.signals["generator/loss"].last)


def test_a_wandb_file_cut_anywhere_or_damaged_gives_what_is_whole(offline, tmp_path):
    whole = next(offline.glob("wandb/offline-run-*/*.wandb")).read_bytes()
    assert len(whole) > 3 * wandb.BLOCK
    file = tmp_path / "run-x.wandb"
    most = 0
    for size in range(wandb.BLOCK // 2, len(whole), 9973):
        file.write_bytes(whole[:size])
        seen = len(read(file).history.signals["discriminator/loss"])
        assert most <= seen
        most = seen
    file.write_bytes(whole[:50_000] + b"\xff" + whole[50_001:])
    log = read(file)
    assert len(log.history.signals["discriminator/loss"]) > 200 and any("damaged" in note for note in log.notes)


def test_a_record_that_spans_blocks(tmp_path):
    def part(kind, data):
        return struct.pack("<IHB", zlib.crc32(bytes([kind]) + data), len(data), kind) + data

    room = wandb.BLOCK - 2 * wandb.HEAD
    first, second, third = b"a" * room, b"b" * (wandb.BLOCK - wandb.HEAD), b"c" * 100
    file = tmp_path / "f.wandb"
    file.write_bytes(b":W&B\xe1\xbe\x00" + part(2, first) + part(3, second) + part(4, third) + part(1, b"short"))
    assert list(wandb.records(file)) == [first + second + third, b"short"]


def test_a_wandb_run_is_read_without_wandb(offline, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setitem(sys.modules, "wandb.proto", None)
    assert read(offline).kind == "wandb"


# nothing to read

WRONG = {
    "empty.csv": (b"", "is empty"),
    "blank.csv": (b"\n\n  \n", "is empty"),
    "names.csv": (b"step,loss\n", "no column holds numbers"),
    "words.csv": (b"name,kind\na,b\nc,d\n", "no column holds numbers"),
    "prose.txt": (b"Epoch one went well.\nSo did the second.\n", "no column holds numbers"),
    "cell.csv": (b"loss,x\n" + b"1" * 200_000 + b",1\n", "cannot be read as a table"),
    "counters.csv": (b"step,epoch\n1,1\n2,1\n", "no numeric column other than steps"),
    "image.png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is a binary file"),
    "weights.csv": (bytes(range(256)) * 20, "is a binary file"),
    "broken.json": (b'{"loss": [1, 2', "not a JSON log"),
    "empty.json": (b"[]", "no numbers were found"),
    "text.jsonl": (b"hello\nworld\n", "not a JSON log"),
    "numbers.json": (b"[1, 2, 3]", "no numbers were found"),
    "x.wandb": (b"nothing of the kind", "not a W&B run file"),
    "y.wandb": (b":W&B\xe1\xbe\x00", "nothing was logged"),
    "events.out.tfevents.1": (b"rubbish that is no record", "no TensorBoard scalars"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_read_is_said_in_a_sentence_or_two(tmp_path, name):
    content, said = WRONG[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        read(tmp_path / name)
    assert len(str(error.value)) < 300


def test_folders_without_a_log_or_with_several(tmp_path):
    with pytest.raises(UserError, match="holds no log"):
        read(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "nowhere")
    write(tmp_path, "a.csv", "loss\n1\n2\n")
    assert read(tmp_path).kind == "csv"
    write(tmp_path, "b.csv", "loss\n1\n2\n")
    with pytest.raises(UserError, match=r"several logs: name one of a.csv, b.csv"):
        read(tmp_path)


def test_any_bytes_are_read_or_refused_politely(tmp_path):
    random = np.random.default_rng(0)
    seeds = [
        LIGHTNING.encode(),
        b'{"step": 1, "loss": 2}\n{"step": 2, "loss": 3}\n',
        b'{"loss": [1, 2, 3]}',
        b":W&B\xe1\xbe\x00" + b"a" * 99,
    ]
    for i in range(200):
        blob = bytearray(seeds[i % len(seeds)])
        for at in random.integers(0, len(blob), 4):
            blob[at] = random.integers(256)
        file = tmp_path / ("log", "log.csv", "log.json")[i % 3]
        file.write_bytes(bytes(blob[: random.integers(1, len(blob))]))
        try:
            read(file)
        except UserError as error:
            assert str(error)


def test_a_long_log_is_read_whole(tmp_path):
    rows = "".join(f"{i},{1 + i / 1e6},{2 - i / 1e6}\n" for i in range(300_000))
    found = read(write(tmp_path, "long.csv", "step,d_loss,g_loss\n" + rows))
    assert found.kind == "csv"
    assert found.history.signals["discriminator/loss"].steps[-1] == 299_999
