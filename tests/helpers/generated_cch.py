"""Tiny copies of the layouts of the CCH paper's data: idx files and png pictures, MMSA pickles, csd, omics tables."""

import gzip
import json
import pickle
from pathlib import Path

import numpy as np


def write_idx(path: Path, array: np.ndarray) -> None:
    """An idx file of bytes; gzipped if its name ends in .gz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, dtype=">u4").tobytes()
    with (gzip.open if path.suffix == ".gz" else open)(path, "wb") as file:
        file.write(head + array.astype(np.uint8).tobytes())


def mnist_m(path: Path) -> None:
    """60 training and 20 test digits, d a bar of d + 2 columns; pictures show digits in another order."""
    from PIL import Image

    generator = np.random.default_rng(0)
    for part, name, rows in (("train", "train", 60), ("test", "t10k", 20)):
        labels = generator.permutation(np.arange(rows) % 10)
        digits = np.zeros((rows, 28, 28), dtype=np.uint8)
        for digit, label in zip(digits, labels, strict=True):
            digit[4:24, 4 : 6 + label] = generator.integers(200, 256)
        ending = ".gz" if part == "train" else ""
        write_idx(path / "mnist" / f"{name}-images-idx3-ubyte{ending}", digits)
        write_idx(path / "mnist" / f"{name}-labels-idx1-ubyte{ending}", labels)
        folder = path / "mnist_m" / f"mnist_m_{part}"
        folder.mkdir(parents=True)
        lines = []
        for number in range(rows - 1):
            label = (number * 3) % 10
            pixels = generator.integers(20 * label, 20 * label + 20, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:08d}.png")
            lines.append(f"{number:08d}.png {label}\n")
        (folder.parent / f"mnist_m_{part}_labels.txt").write_text("".join(lines))
    for number, place in enumerate(("train/1", "train/2", "test/3")):
        photo = path / "photos" / f"{place}.{'png' if number else 'jpg'}"
        photo.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (40, 30 + number, 3), dtype=np.uint8)).save(photo)


def mosei_tables(seed: int = 0) -> dict[str, dict[str, object]]:
    """Content of an MMSA pickle of 20 + 8 + 10 rows; text is BERT's with a mask, audio and vision are padded with 0."""
    generator = np.random.default_rng(seed)
    tables: dict[str, dict[str, object]] = {}
    for split, rows in (("train", 20), ("valid", 8), ("test", 10)):
        sentiment = np.round(generator.uniform(-3, 3, rows) * 3) / 3
        sentiment[::5] = 0
        mask = np.arange(6) < generator.integers(2, 7, rows)[:, None]
        text, audio, vision = (generator.normal(sentiment[:, None, None], 1, (rows, 6, d)) for d in (5, 4, 3))
        audio, vision = np.where(mask[:, :, None], audio, 0), np.where(mask[:, :, None], vision, 0)
        audio[1, 0, 0], vision[2, 0, 1] = -np.inf, np.nan
        tables[split] = {
            "raw_text": np.array([f"row {number}" for number in range(rows)]),
            "text": text.astype(np.float32),
            "text_bert": np.stack([mask * 7, mask, mask * 0], axis=1).astype(np.float32),
            "audio": audio.astype(np.float32),
            "vision": vision.astype(np.float32),
            "id": [f"video{number // 2}$_${number % 2}" for number in range(rows)],
            "classification_labels": np.sign(sentiment) + 1,
            "regression_labels": sentiment.astype(np.float32),
        }
    return tables


def mosei_mmsa(path: Path) -> None:
    path.mkdir(parents=True)
    tables = mosei_tables()
    (path / "aligned_50.pkl").write_bytes(pickle.dumps(tables, protocol=4))
    for own in tables.values():
        mask = np.asarray(own["text_bert"])[:, 1]
        own["audio_lengths"] = [int(length) for length in mask.sum(axis=1)]
        own["vision_lengths"] = mask.sum(axis=1).astype(np.int64)
    (path / "unaligned_50.pkl").write_bytes(pickle.dumps(tables, protocol=2))


FOLDS = {"train": ["a", "b", "c", "d"], "valid": ["e", "f"], "test": ["g", "h"]}


def mosei_csd(path: Path) -> None:
    """Eight videos of three segments of 2 s; steps of half a second. Video h has no face."""
    import h5py

    generator = np.random.default_rng(0)
    path.mkdir(parents=True)
    (path / "splits.json").write_text(json.dumps(FOLDS))
    names = {"TimestampedWordVectors": 5, "COVAREP": 4, "VisualFacet42": 3, "Labels": 7}
    for name, width in names.items():
        with h5py.File(path / f"CMU_MOSEI_{name}.csd", "w") as file:
            for number, video in enumerate("abcdefgh"):
                steps = 3 if name == "Labels" else 12
                span = 6.0 / steps * np.arange(steps)[:, None] + [[0, 6.0 / steps]]
                features = generator.normal(number, 1, (steps, width))
                if name == "Labels":
                    features[:, 0] = [-2.0, 0.0, 1 + number / 6]
                if name == "COVAREP":
                    features[0, 0] = -np.inf
                if not (name == "VisualFacet42" and video == "h"):
                    group = file.create_group(f"{name}/data/{video}")
                    group["features"], group["intervals"] = features.astype(np.float32), span


def write_cct(path: Path, samples: list[str], names: list[str], table: np.ndarray) -> None:
    """A LinkedOmics table; NaN is written as NA."""
    lines = ["\t".join(["attrib_name", *samples])]
    for name, row in zip(names, table, strict=True):
        lines.append("\t".join([name, *("NA" if np.isnan(value) else f"{value:.6g}" for value in row)]))
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(lines) + "\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
    else:
        path.write_text(text)


COHORTS = {
    "BRCA": ("PAM50", ["Normal", "Basal", "Her2", "LumA", "LumB"]),
    "KIPAN": (
        "histological_type",
        ["kidney chromophobe", "kidney clear cell renal carcinoma", "kidney papillary renal cell carcinoma"],
    ),
    "LIHC": ("pathologic_stage", ["stagei", "stageii", "stageiiia", "stageiv"]),
}
OMICS = {
    "mRNA": ("UNC__RNAseq__HiSeq_RNA__01_28_2016__BI__Gene__Firehose_RSEM_log2.cct", 30),
    "CNV": ("BI__SCNA__SNP_6.0__01_28_2016__BI__Gene__Firehose_GISTIC2.cct.gz", 20),
    "RPPA": ("MDA__RPPA__MDA_RPPA__01_28_2016__BI__Gene__Firehose_RPPA.cct", 12),
}


def tcga_linkedomics(path: Path) -> None:
    """60 tumours a cohort; each table lacks two different ones and has a different order; two have no label."""
    generator = np.random.default_rng(0)
    for cohort, (row, values) in COHORTS.items():
        samples = [f"TCGA.{number:02d}.{cohort}" for number in range(60)]
        classes = np.arange(60) % len(values)
        for place, (view, (name, features)) in enumerate(OMICS.items()):
            own = generator.permutation([number for number in range(60) if number % 30 != place])
            table = generator.normal(0, 1 + np.arange(features)[:, None] / 10, (features, len(own)))
            table[:4] += 2 * classes[own]
            table[5, 3 * place] = np.nan
            file = path / cohort / f"Human__TCGA_{cohort}__{name}"
            write_cct(file, [samples[number] for number in own], [f"{view}{n}" for n in range(features)], table)
        labels = ["NA" if number in (10, 11) else values[classes[number]] for number in range(60)]
        rows = [("attrib_name", samples), ("gender", ["female"] * 60), (row, labels)]
        clinical = (
            path / cohort / f"Human__TCGA_{cohort}__MS__Clinical__Clinical__01_28_2016__BI__Clinical__Firehose.tsi"
        )
        clinical.write_text("".join("\t".join([head, *own]) + "\n" for head, own in rows))


def tcga_mogonet(path: Path) -> None:
    """BRCA: 40 training and 20 test tumours of five classes, three views."""
    generator = np.random.default_rng(0)
    (path / "BRCA").mkdir(parents=True)
    for part, rows in (("tr", 40), ("te", 20)):
        classes = np.arange(rows) % 5
        np.savetxt(path / "BRCA" / f"labels_{part}.csv", classes.astype(float), fmt="%.18e")
        for view, features in ((1, 30), (2, 25), (3, 12)):
            table = generator.random((rows, features))
            table[:, :3] += classes[:, None]
            np.savetxt(path / "BRCA" / f"{view}_{part}.csv", table, delimiter=",")
            (path / "BRCA" / f"{view}_featname.csv").write_text("".join(f"f{view}_{n}\n" for n in range(features)))
