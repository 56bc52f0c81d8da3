"""Sound front ends against naive references, decoding against what was encoded, workers and restart against kills."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.child_work import fail, read_numbers
from tests.helpers.generated import RATE, tone, write_image, write_video, write_wav
from tests.helpers.paths import ROOT
from trainables.data.readers import audio_features, preparation
from trainables.data.readers import process_pool as workers
from trainables.data.readers.media import UnreadableError, read_frames, read_image, read_sound
from trainables.data.readers.preparation import Clip, Layout, Place, paired, prepare


def naive_spectrum(samples: np.ndarray, window: int, hop: int, pad: Any) -> np.ndarray:
    """|DFT| of each frame by its definition."""
    padded = np.pad(samples, window // 2, mode=pad)
    hann = np.array([np.sin(np.pi * n / window) ** 2 for n in range(window)])
    wave = np.exp(-2j * np.pi * np.outer(np.arange(window // 2 + 1), np.arange(window)) / window)
    starts = range(0, len(samples) + 1, hop)
    return np.stack([np.abs(wave @ (padded[start : start + window] * hann)) for start in starts], axis=1)


def naive_mfcc(samples: np.ndarray, rate: int, count: int, window: int, hop: int, mels: int) -> np.ndarray:
    """Slaney's filters one by one, decibels, and the DCT by its definition."""
    power = naive_spectrum(samples, window, hop, "constant") ** 2

    def hz(mel: float) -> float:
        return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    top = 15 + 27 * np.log(rate / 2 / 1000) / np.log(6.4)
    edges = [hz(top * number / (mels + 1)) for number in range(mels + 2)]
    energy = np.zeros((mels, power.shape[1]))
    for mel, (left, middle, right) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        for number in range(window // 2 + 1):
            frequency = number * rate / window
            height = min((frequency - left) / (middle - left), (right - frequency) / (right - middle))
            energy[mel] += max(0.0, height) * 2 / (right - left) * power[number]
    decibels = 10 * np.log10(np.maximum(energy, 1e-10))
    decibels = np.maximum(decibels, decibels.max() - 80)
    scale = [np.sqrt((1 if order == 0 else 2) / mels) for order in range(count)]
    cosines = [[np.cos(np.pi * k * (2 * mel + 1) / (2 * mels)) for mel in range(mels)] for k in range(count)]
    return np.array(scale)[:, None] * (np.array(cosines) @ decibels)


@pytest.mark.parametrize("length", [300, 640])
def test_stft_magnitude_against_the_definition(length: int) -> None:
    samples = np.random.default_rng(0).standard_normal(length)
    ours = audio_features.stft_magnitude(samples, window=64, hop=32)
    assert ours.shape == (33, 1 + length // 32)
    assert np.allclose(ours, naive_spectrum(samples, 64, 32, "reflect"), atol=1e-10)


def test_mfcc_against_the_definition() -> None:
    """Also agrees with librosa 0.11 to 3e-7 at its defaults (22.05 kHz, window 2048, hop 512, 128 mel, 40 MFCC)."""
    samples = np.random.default_rng(0).standard_normal(900) * np.exp(-np.arange(900) / 60)
    ours = audio_features.mfcc(samples, 8000, count=12, window=256, hop=64, mels=20)
    assert np.allclose(ours, naive_mfcc(samples, 8000, 12, 256, 64, 20), atol=1e-8)


def test_the_sound_is_a_bump_at_its_pitch() -> None:
    magnitude = audio_features.stft_magnitude(tone(1000.0))
    assert magnitude[:, 15].argmax() == round(1000 * 1024 / RATE)


def test_a_sound_too_short_to_mirror_is_refused() -> None:
    with pytest.raises(ValueError, match=r"more than 512 samples, but there are 100"):
        audio_features.stft_magnitude(np.zeros(100))


def test_fit_frames_cuts_and_fills() -> None:
    spectrum = np.arange(6.0).reshape(2, 3) + 1
    assert audio_features.fit_frames(spectrum, 2).tolist() == [[1, 2], [4, 5]]
    assert audio_features.fit_frames(spectrum, 4).tolist() == [[1, 2, 3, 0], [4, 5, 6, 0]]


def test_frames_are_those_shown_at_their_times(tmp_path: Path) -> None:
    """Ten pictures a second, grey 10, 20, 30 ...: at 0.55 s the sixth is on. The left half is brighter by 20."""
    write_video(tmp_path / "a.mp4", range(10, 130, 10))
    frames = read_frames(tmp_path / "a.mp4", (0.0, 0.05, 0.55, 1.15), (16, 32))
    assert frames.shape == (4, 3, 16, 32) and frames.dtype == np.uint8
    right, left = frames[:, :, :, 20:].mean(axis=(1, 2, 3)), frames[:, :, :, :12].mean(axis=(1, 2, 3))
    assert np.abs(right - [10, 10, 60, 120]).max() < 6 and np.abs(left - right - 20).max() < 5


def test_a_video_that_is_too_short_says_so(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", range(12))
    with pytest.raises(UnreadableError, match=r"ends after 1\.20 s, before its frame at 1\.25 s"):
        read_frames(tmp_path / "a.mp4", (0.0, 1.25), (16, 32))


def test_sound_comes_from_wav_and_mp4_at_the_rate_asked_for(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.stack([tone(500.0), np.zeros_like(tone(500.0))], axis=1))
    write_video(tmp_path / "a.mp4", range(12), tone(500.0))
    for name, loud in (("a.wav", 0.25), ("a.mp4", 0.5)):
        sound = read_sound(tmp_path / name, 8000)
        spectrum = np.abs(np.fft.rfft(sound[:8000]))
        assert spectrum.argmax() == pytest.approx(500, abs=2), name
        assert np.abs(sound).max() == pytest.approx(loud, abs=0.06), name


@pytest.mark.parametrize("name", ["cut.mp4", "text.wav", "silent.mp4", "missing.mp4", "text.png"])
def test_what_cannot_be_read_is_one_line(name: str, tmp_path: Path) -> None:
    write_video(tmp_path / "silent.mp4", range(3))
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "silent.mp4").read_bytes()[:400])
    for text in ("text.wav", "text.png"):
        (tmp_path / text).write_text("no media")
    with pytest.raises(UnreadableError) as error:
        read_image(tmp_path / name, (4, 4)) if name.endswith("png") else read_sound(tmp_path / name, 8000)
    assert str(error.value) and "\n" not in str(error.value)


def test_a_picture_of_another_size_is_refused_or_resized(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.full((6, 8, 3), (10, 20, 30), dtype=np.uint8))
    with pytest.raises(UnreadableError, match="6 x 8 pixels, not 3 x 4"):
        read_image(tmp_path / "a.png", (3, 4))
    small = read_image(tmp_path / "a.png", (3, 4), resize=True)
    assert small.shape == (3, 3, 4) and small[:, 0, 0].tolist() == [10, 20, 30]


LAYOUT = {"teacher": Layout((3,), np.uint8), "student": Layout((1,), np.float32)}


def made_up(folder: Path, numbers: list[int]) -> list[Clip]:
    """Clips of two rows: the first always in training; the second in val, test and train by turns."""
    rows = {"train": 0, "val": 0, "test": 0}
    result = []
    for place, number in enumerate(numbers):
        places = []
        for split in ("train", ("val", "test", "train")[place % 3]):
            places.append(Place(split, rows[split]))
            rows[split] += 1
        result.append(Clip(f"clip {number}", (str(folder), number), number, tuple(places)))
    return result


def test_rows_are_put_in_their_places(tmp_path: Path) -> None:
    numbers = made_up(tmp_path, [1, 2, 3, 4])
    arrays, bad, notes = prepare("made_up", read_numbers, numbers, LAYOUT, tmp_path / "work", 0)
    data = paired(numbers, bad, arrays, 5, notes)
    assert data.train.student.ravel().tolist() == [1, 2, 3, 3.5, 4] and data.val.student.ravel().tolist() == [1.5, 4.5]
    assert data.test.labels.tolist() == [2] and data.train.labels.tolist() == [1, 2, 3, 3, 4]
    assert data.train.indices.tolist() == [0, 2, 4, 5, 6] and data.test.indices.tolist() == [3]
    assert data.notes == {"clips": 4, "clips_skipped": 0, "skipped": []}


def test_unreadable_clips_are_skipped_counted_and_named_only_where_allowed(tmp_path: Path) -> None:
    numbers = made_up(tmp_path, [1, 91, 3, 4, 92])
    with pytest.raises(ValueError, match=r"clip 92 cannot be read \(92 is too much\), and .* is 1; .*skip_bad: 2"):
        prepare("made_up", read_numbers, numbers, LAYOUT, tmp_path / "work", 1)
    arrays, bad, notes = prepare("made_up", read_numbers, numbers, LAYOUT, tmp_path / "work", 2)
    data = paired(numbers, bad, arrays, 93, notes)
    assert notes == {"clips": 5, "clips_skipped": 2, "skipped": ["clip 91", "clip 92"]}
    assert data.train.student.ravel().tolist() == [1, 3, 3.5, 4] and data.train.labels.tolist() == [1, 3, 3, 4]
    assert data.val.indices.tolist() == [1, 7] and data.train.teacher[:, 0].tolist() == [1, 3, 3, 4]


def test_finished_clips_are_not_read_again(tmp_path: Path) -> None:
    numbers = made_up(tmp_path, [1, 2, 95, 4])
    with pytest.raises(ValueError, match="clip 95"):
        prepare("made_up", read_numbers, numbers, LAYOUT, tmp_path / "work", 0)
    for number in (1, 2):
        (tmp_path / f"{number}.read").unlink()
    repaired = [clip._replace(source=(str(tmp_path), min(clip.source[1], 5))) for clip in numbers]
    arrays, _, _ = prepare("made_up", read_numbers, repaired, LAYOUT, tmp_path / "work", 0)
    assert sorted(path.name for path in tmp_path.glob("*.read")) == ["4.read", "5.read"]
    assert arrays["train"]["student"].ravel().tolist() == [1, 2, 5, 5.5, 4]


def test_progress_is_a_bar_in_a_terminal_and_a_line_elsewhere(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(preparation, "LOG_SECONDS", 0.0)
    with caplog.at_level("INFO"):
        prepare("made_up", read_numbers, made_up(tmp_path, [1, 2, 3]), LAYOUT, tmp_path / "log", 0)
    assert [record.message for record in caplog.records][-1] == "preparing made_up: 3 of 3 read"
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    prepare("made_up", read_numbers, made_up(tmp_path, [1, 2, 3]), LAYOUT, tmp_path / "bar", 0)
    shown = capsys.readouterr().err
    assert "preparing made_up" in shown and "3/3" in shown


@pytest.mark.slow
def test_a_killed_preparation_goes_on(tmp_path: Path) -> None:
    """Killed with -9 when half of its clips are read; the second run reads the others."""
    code = (
        "import os, sys; sys.argv = ['x']\n"
        "from pathlib import Path\n"
        "from tests.helpers import child_work as work\n"
        "from tests.unit.trainables.data.readers import test_media as t\n"
        "from trainables.data.readers import preparation\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "write = preparation.write_rows\n"
        "def killing(order):\n"
        "    write(order)\n"
        "    if order.source[1] == 3: os.kill(os.getpid(), 9)\n"
        "preparation.write_rows = killing\n"
        "clips = t.made_up(folder, [1, 2, 3, 4])\n"
        "preparation.prepare('made_up', work.read_numbers, clips, t.LAYOUT, folder / 'work', 0)"
    )
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr.decode()
    read = sorted(path.name for path in tmp_path.glob("*.read"))
    assert read == ["1.read", "2.read", "3.read"]
    for name in read:
        (tmp_path / name).unlink()
    arrays, bad, _ = prepare("made_up", read_numbers, made_up(tmp_path, [1, 2, 3, 4]), LAYOUT, tmp_path / "work", 0)
    assert sorted(path.name for path in tmp_path.glob("*.read")) == ["3.read", "4.read"]
    assert arrays["train"]["student"].ravel().tolist() == [1, 2, 3, 3.5, 4] and bad == []


@pytest.mark.slow
def test_several_processes_give_the_same_and_survive_a_clip_that_kills_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "PARALLEL_FROM", 1)
    monkeypatch.setattr(workers, "default_processes", lambda: 2)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    numbers = made_up(tmp_path, [1, 99, 3, 91, 5])
    arrays, bad, notes = prepare("made_up", read_numbers, numbers, LAYOUT, tmp_path / "work", 2)
    assert bad == [1, 3] and notes["clips_skipped"] == 2
    assert arrays["train"]["student"].ravel().tolist() == [1, 3, 3.5, 5]
    problems = dict(workers.run_all(preparation.write_rows, [], processes=2))
    assert problems == {}


@pytest.mark.slow
def test_an_error_of_our_own_is_not_taken_for_a_bad_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with pytest.raises(RuntimeError, match="ZeroDivisionError: 7"):
        list(workers.run_all(fail, [7], processes=2))
    with pytest.raises(ZeroDivisionError):
        list(workers.run_all(fail, [7], processes=1))
