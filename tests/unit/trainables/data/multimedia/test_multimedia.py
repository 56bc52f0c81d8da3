"""RAVDESS, MM-IMDB and VGG-Sound from tiny copies of their official layouts: what is in a row, splits, wrong files."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.helpers.generated import VGG_CLASSES, root, write_csv
from tests.helpers.layouts import config_of, copy_of, load
from trainables.common.types import PairedData
from trainables.data import DATASETS
from trainables.data.multimedia import mmimdb, ravdess, vggsound
from trainables.data.multimedia.mmimdb_raw import GENRES
from trainables.data.multimedia.ravdess_clips import Take, split_by_actor, split_by_frame
from trainables.data.readers.audio_features import mfcc, stft_magnitude
from trainables.data.readers.media import read_sound

MEDIA = ("ravdess_features", "ravdess_clips", "mmimdb_hdf5", "mmimdb_raw", "vggsound")


def test_ravdess_features_are_the_files() -> None:
    """MFH's constants; cut or filled to 256 frames; pictures as they are, and no columns swapped."""
    data = load("ravdess_features")
    raw = np.load(Path(root("ravdess_features"), "aud_features", "dl3.npy"))
    expected = (np.pad(raw, ((0, 0), (0, 3))) + 10.59) / 85.66
    assert raw.shape == (40, 253) and np.allclose(data.train.teacher[3, 0], expected, atol=1e-6)
    longer = np.load(Path(root("ravdess_features"), "aud_features", "dl20.npy"))
    assert np.allclose(data.train.teacher[20, 0], (longer[:, :256] + 10.59) / 85.66, atol=1e-6)
    assert 20 * 3 <= data.train.student[3].min() and data.train.student[3].max() < 20 * 3 + 30
    assert data.train.labels.tolist() == [row % 8 for row in range(24)] and data.num_classes == 8
    assert "40 clips" in str(ravdess.not_comparable(config_of("ravdess_features")))


def test_ravdess_clips_pair_each_frame_with_the_voice_of_its_clip() -> None:
    """Actor 1: wav next to 01; actor 2: the sound of 01; actor 3: wav next to 02. Grey encodes emotion and frame."""
    config = config_of("ravdess_clips", split="actors")
    data = ravdess.load(config)
    clips = {clip.name: clip for clip in ravdess.clips_of(config)}
    assert len(clips) == 24
    for name, sound in (
        ("01-01-03-01-01-01-01.mp4", "Actor_01/03-01-03-01-01-01-01.wav"),
        ("01-01-05-01-01-01-02.mp4", "Actor_02/01-01-05-01-01-01-02.mp4"),
        ("02-01-08-01-01-01-03.mp4", "Actor_03/03-01-08-01-01-01-03.wav"),
    ):
        emotion = int(name[6:8])
        assert clips[name].label == emotion - 1
        expected = mfcc(read_sound(Path(config.root, sound), 22_050), 22_050)
        for number, (split, row) in enumerate(clips[name].places):
            batch = data.split(split)  # pyright: ignore[reportArgumentType]
            assert np.allclose(batch.teacher[row, 0, :, :50], (expected[:, :50] + 10.59) / 85.66, atol=1e-5)
            grey = batch.student[row, :, :, 20:].double().mean().item()
            assert grey == pytest.approx(20 * emotion + 5 * number, abs=4)


@pytest.mark.slow
def test_ravdess_actors_stay_apart_or_are_dealt_frame_by_frame() -> None:
    def actors(split: str) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
        for clip in ravdess.clips_of(config_of("ravdess_clips", split=split)):
            for place in clip.places:
                found[place.split].add(clip.name[18:20])
        return found

    apart, dealt = actors("actors"), actors("random")
    assert sorted(actor for own in apart.values() for actor in own) == ["01", "02", "03"]
    assert all(len(own) > 1 for own in dealt.values())
    data = load("ravdess_clips")
    for labels in (data.val.labels, data.test.labels):
        assert labels.bincount(minlength=8).tolist() == [1] * 8
    assert "puts all clips of an actor into one split" in str(data.notes["warning"])
    assert "warning" not in load("ravdess_clips", split="actors").notes
    assert "computed from the clips" in str(ravdess.not_comparable(config_of("ravdess_clips")))


def test_ravdess_channels(tmp_path: Path) -> None:
    folder = copy_of("ravdess_clips", tmp_path)
    for kind, ending in (("01", "mp4"), ("03", "wav")):
        speech = folder / "Actor_01" / f"{kind}-01-01-01-01-01-01.{ending}"
        speech.rename(speech.with_name(f"{kind}-02-01-01-01-01-01.{ending}"))

    def names(channel: Any) -> int:
        return len(ravdess.clips_of(config_of("ravdess_clips", folder, channel=channel)))

    assert (names("speech"), names("song"), names("both")) == (23, 1, 24)


def test_ravdess_in_the_official_size() -> None:
    """24 actors, 60 spoken clips each: 1,440 recordings; a tenth of the actors, both sexes, in each small split."""
    takes = [(actor, number) for actor in range(1, 25) for number in range(60)]
    recordings = [Take("speech", number % 8, f"01-01-{number:02d}", actor) for actor, number in takes]
    by_frame = [split for own in split_by_frame(recordings, 6, (0.1, 0.1), 0) for split in own]
    assert len(by_frame) == 8640 and abs(by_frame.count("val") - 864) < 8 and abs(by_frame.count("test") - 864) < 8
    by_actor = list(split_by_actor(recordings, 6, (0.1, 0.1), 0))
    for split in ("val", "test"):
        own = {take.actor for take, splits in zip(recordings, by_actor, strict=True) if splits == [split] * 6}
        assert len(own) == 2 and {actor % 2 for actor in own} == {0, 1}


def test_mmimdb_hdf5_rows_are_the_tables() -> None:
    import h5py

    data = load("mmimdb_hdf5", standardised=False)
    with h5py.File(Path(root("mmimdb_hdf5"), "multimodal_imdb.hdf5")) as file:
        text, image, genres = (np.asarray(file[name]) for name in ("features", "vgg_features", "genres"))
    assert np.allclose(data.val.student, text[20:30]) and np.allclose(data.test.teacher, image[30:])
    assert np.array_equal(data.train.labels, genres[:20]) and data.val.indices.tolist() == list(range(20, 30))
    scaled = load("mmimdb_hdf5")
    assert scaled.train.teacher.mean(dim=0).abs().max() < 1e-5
    assert (scaled.train.student.std(dim=0, correction=0) - 1).abs().max() < 1e-4
    assert "40 films" in str(mmimdb.not_comparable(config_of("mmimdb_hdf5")))


def test_mmimdb_raw_films() -> None:
    """Genres outside the 23 are left out; the longest plot's words are hashed; the poster is shrunk."""
    data = load("mmimdb_raw")
    names = [{GENRES[place] for place in row.nonzero()[:, 0]} for row in data.train.labels]
    assert names[:4] == [{"Drama", "Comedy"}, {"Comedy"}, {"Horror"}, {"Western", "Drama"}]
    assert data.train.student.norm(dim=1).numpy() == pytest.approx(1, abs=1e-5)
    posters = data.train.teacher.mean(dim=1)
    assert posters[0] < posters[1] < posters[2] < posters[3] and 0 <= data.train.teacher.min() <= 1
    files = load("mmimdb_raw", features="files", text_dim=12, image_dim=20)
    stored = np.load(Path(root("mmimdb_raw"), "features", "text", "0000009.npy"))
    assert np.allclose(files.val.student[1], stored) and files.val.teacher.shape == (2, 20)


def test_mmimdb_hashing_knows_words_and_not_their_order(tmp_path: Path) -> None:
    folder = copy_of("mmimdb_raw", tmp_path)
    for film, plot in (("0000000", "A dog, a cat."), ("0000001", "cat DOG a a"), ("0000002", "A dog, a bird.")):
        about = folder / "dataset" / f"{film}.json"
        about.write_text(json.dumps({**json.loads(about.read_text()), "plot": ["a", plot]}))
    rows = load("mmimdb_raw", folder, text_dim=300).train.student
    assert np.allclose(rows[0], rows[1]) and not np.allclose(rows[0], rows[2])
    assert rows[0].count_nonzero() == 3 and rows[0].abs().max() == pytest.approx(2 / np.sqrt(6))


def test_vggsound_rows_are_frames_and_spectrogram() -> None:
    config = config_of("vggsound")
    data = vggsound.load(config)
    clips = {clip.name: clip for clip in vggsound.index_of(config).clips}
    clip = clips["-v_24_000040"]
    (place,) = clip.places
    assert place.split == "test" and VGG_CLASSES[clip.label] == "people marching"
    sound = read_sound(Path(config.root, "video", "-v_24_000040.mp4"), 16_000)
    magnitude = stft_magnitude(sound / (1.1 * np.abs(sound).max()))
    seen = data.test.student[place.row, 0].float().numpy()
    assert seen.shape == (513, 313) and magnitude.shape[0] == 513
    assert np.allclose(seen.mean(axis=1), magnitude.mean(axis=1), rtol=0.1, atol=0.2)
    assert seen[:, 150].argmax() == magnitude.mean(axis=1).argmax() == round(904 * 1024 / 16_000)
    right = data.test.teacher[place.row, :, :, :, 10:].double().mean(dim=(1, 2, 3))
    assert right.tolist() == pytest.approx([128 + 3 * 3, 128 + 3 * 9], abs=5)


def test_vggsound_classes_subset_and_validation() -> None:
    index = vggsound.index_of(config_of("vggsound"))
    assert index.classes == list(VGG_CLASSES) and index.missing == 2
    assert index.sizes() == (9, 3, 3)
    two = vggsound.index_of(config_of("vggsound", subset="two_classes.txt"))
    assert two.classes == [VGG_CLASSES[0], VGG_CLASSES[2]] and two.sizes() == (6, 2, 2)
    listed = vggsound.index_of(config_of("vggsound", subset="clips.txt"))
    assert listed.sizes() == (6, 3, 6) and listed.missing == 0
    assert {clip.name[4] for clip in listed.clips if clip.places[0].split == "val"} == {"1"}
    assert load("vggsound").notes["clips_missing"] == 2
    assert "3 classes" in str(vggsound.not_comparable(config_of("vggsound")))


def test_vggsound_in_the_layout_of_train_and_test_lists(tmp_path: Path) -> None:
    folder = copy_of("vggsound", tmp_path)
    clips = vggsound.index_of(config_of("vggsound")).clips
    (folder / "vggsound.csv").unlink()
    for split, kinds in (("train", ("train", "val")), ("test", ("test",))):
        own = [(f"{c.name}.mp4", VGG_CLASSES[c.label]) for c in clips if c.places[0].split in kinds]
        write_csv(folder / f"{split}.csv", own)
    again = vggsound.index_of(config_of("vggsound", folder, skip_missing=False))
    assert [(clip.name, clip.places) for clip in again.clips] == [(clip.name, clip.places) for clip in clips]


def test_the_fingerprint_follows_lists_and_sizes(tmp_path: Path) -> None:
    changed = {
        "ravdess_features": "vid_features/dl0.png",
        "ravdess_clips": "Actor_01/03-01-03-01-01-01-01.wav",
        "mmimdb_hdf5": "multimodal_imdb.hdf5",
        "mmimdb_raw": "dataset/0000003.jpeg",
        "vggsound": "video/-v_00_000000.mp4",
    }
    for layout, name in changed.items():
        folder, fingerprint = copy_of(layout, tmp_path), DATASETS[config_of(layout).dataset].fingerprint
        before = fingerprint(config_of(layout))
        assert fingerprint(config_of(layout, folder)) == before, "moved data are the same data"
        with (folder / name).open("ab") as file:
            file.write(b"more")
        assert fingerprint(config_of(layout, folder)) != before, layout


def cut(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return change


def remove(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(path.read_text().replace(old, new))

    return change


IN_SHAPE: list[tuple[str, Callable[[Path], Any], str]] = [
    ("ravdess_features", remove("data_file"), r"spa_dl\.csv.* does not exist; put it there, or set data\.root"),
    ("ravdess_features", replace("data_file/spa_val.csv", ",5\n", ",8\n"), r"line 7 of .*from 0 to 7, but got '8'"),
    ("ravdess_features", replace("data_file/spa_val.csv", ".png,", ".png;"), r"line 2 of .* has 2 fields"),
    ("ravdess_clips", lambda folder: [shutil.rmtree(path) for path in folder.iterdir()], "put the official Actor_NN"),
    ("mmimdb_hdf5", remove("multimodal_imdb.hdf5"), "multimodal_imdb.hdf5' does not exist"),
    ("mmimdb_hdf5", cut("multimodal_imdb.hdf5"), "truncated.* copy it again"),
    ("mmimdb_raw", remove("split.json"), r"split\.json' does not exist"),
    ("mmimdb_raw", replace("split.json", "dev", "validation"), r"must map train, dev and test .*KeyError: 'dev'"),
    ("vggsound", remove("vggsound.csv"), r"vggsound\.csv, or train\.csv and test\.csv"),
    ("vggsound", remove("video"), "the folder of clips"),
    ("vggsound", replace("vggsound.csv", ",test", ",tset"), "line 5 of .*train or test, but got '40' and 'tset'"),
]


@pytest.mark.parametrize(("layout", "change", "message"), IN_SHAPE)
def test_wrong_files_are_found_by_the_index_in_one_line(
    layout: str, change: Callable[[Path], Any], message: str, tmp_path: Path
) -> None:
    folder = copy_of(layout, tmp_path)
    change(folder)
    config = config_of(layout, folder)
    entry = DATASETS[config.dataset]
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        entry.shape(config)
    assert "\n" not in str(error.value)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        entry.load(config)
    assert entry.not_comparable(config)


@pytest.mark.parametrize("layout", MEDIA)
def test_a_missing_root_says_what_to_put_where(layout: str, tmp_path: Path) -> None:
    config = config_of(layout, tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"needs .*nothing.*put it there, or set data\.root"):
        DATASETS[config.dataset].shape(config)


IN_CLIPS: list[tuple[str, str, str]] = [
    ("ravdess_features", "vid_features/dl0.png", "dl0.npy with dl0.png"),
    ("ravdess_features", "aud_features/dl0.npy", "dl0.npy with dl0.png"),
    ("ravdess_clips", "Actor_01/01-01-03-01-01-01-01.mp4", "01-01-03-01-01-01-01.mp4"),
    ("mmimdb_raw", "dataset/0000003.json", "film 0000003"),
    ("vggsound", "video/-v_00_000000.mp4", "-v_00_000000"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "name", "said"), IN_CLIPS)
def test_one_bad_clip_is_named_or_where_allowed_skipped(layout: str, name: str, said: str, tmp_path: Path) -> None:
    folder = copy_of(layout, tmp_path)
    cut(name)(folder)
    with pytest.raises(ValueError, match=rf"{said} cannot be read \(.+\), and skip_bad is 0; .*`skip_bad: 1`") as error:
        load(layout, folder)
    assert "\n" not in str(error.value)
    data, whole = load(layout, folder, skip_bad=1), load(layout)
    assert data.notes["clips_skipped"] == 1 and data.notes["skipped"] == [said]
    lost = {"ravdess_clips": 2}.get(layout, 1)
    assert rows_in(data) == rows_in(whole) - lost


def rows_in(data: PairedData) -> int:
    return len(data.train.labels) + len(data.val.labels) + len(data.test.labels)


def test_fields_of_the_other_layout_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"is used only with `layout: clips`.* leave it out"):
        config_of("ravdess_features", split="actors")
    with pytest.raises(ValidationError, match="is used only with `layout: raw`"):
        config_of("mmimdb_hdf5", features="files")
    with pytest.raises(ValidationError, match="is used only with `layout: hdf5`"):
        config_of("mmimdb_raw", ends=(20, 30))


def test_a_line_of_the_subset_that_is_not_listed_is_named(tmp_path: Path) -> None:
    folder = copy_of("vggsound", tmp_path)
    (folder / "two_classes.txt").write_text(f"{VGG_CLASSES[1]}\ndog meowing\n")
    with pytest.raises(ValueError, match=r"line 2 of .*two_classes.* the lists have no 'dog meowing'"):
        vggsound.shape(config_of("vggsound", folder, subset="two_classes.txt"))
    with pytest.raises(FileNotFoundError, match=r"2 of 17 listed clips .*`skip_missing: true`"):
        vggsound.shape(config_of("vggsound", folder, skip_missing=False))
