"""`study te-theory`: the sweep, its printed summary, its files and its figure."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from study.errors import StudyError
from study.run import app
from study.theory.commands import print_te_theory, write_te_theory
from study.theory.te import (
    COUPLINGS,
    PROCESSES,
    PROXIES,
    Point,
    Rank,
    TheoryOfTE,
    compute,
    course,
    findings,
    rank,
    shuffle,
    table,
)
from study.theory.te_figure import te_figure
from trainables.theory.transfer_entropy import Coupled, coupled_transfer_entropy


@pytest.fixture(scope="module")
def theory() -> TheoryOfTE:
    return compute(64, 16, 10)


def test_the_sweep(theory: TheoryOfTE) -> None:
    assert len(theory.points) == len(PROCESSES) * len(COUPLINGS)
    assert 0.0 in COUPLINGS and len(theory.of(PROCESSES[0], False)) == len(COUPLINGS) // 2 + 1
    for point in theory.points:
        assert point.exact == coupled_transfer_entropy(point.model)
        assert set(point.proxies) == set(PROXIES) and {len(values) for values in point.proxies.values()} == {10}
    closed, general, measured = theory.example
    assert closed == pytest.approx(general) == pytest.approx(0.2512, abs=1e-4)
    assert measured == pytest.approx(0.2512, abs=0.002)


def test_without_a_coupling_the_proxies_are_about_0(theory: TheoryOfTE) -> None:
    for point in theory.points:
        if point.model.c == 0:
            assert all(abs(np.mean(values)) < 0.05 for values in point.proxies.values())


def test_the_lag_is_that_of_the_coupling_and_shuffling_hides_time(theory: TheoryOfTE) -> None:
    """y⁺ = 0.4 y + x + e with a white x: at the same moment the series have nothing in common, a step later they do."""
    (point,) = (point for point in theory.of((0.0, 0.4), False) if point.model.c == 1)
    means = {name: float(np.mean(values)) for name, values in point.proxies.items()}
    assert means["TE1, lag 1"] > 0.6 and means["TE1"] < -0.3 and abs(means["TE1, shuffled"]) < 0.05


def test_shuffled_rows_keep_their_pairs_and_come_from_elsewhere() -> None:
    rows = torch.arange(3 * 5).view(3, 1, 1, 5, 1) + torch.tensor([0, 100]).view(1, 2, 1, 1, 1)
    mixed = shuffle(rows, np.random.default_rng(0))
    assert mixed.shape == rows.shape and torch.equal(mixed[:, 1], mixed[:, 0] + 100)
    teacher = mixed[:, 0, 0, :, 0]
    assert all(set((teacher[r] % 5).tolist()) == set(range(5)) for r in range(3))
    assert (teacher[:, 1:] // 5 != teacher[:, :-1] // 5).all()


def test_ranks(theory: TheoryOfTE) -> None:
    assert rank(theory.of((0.6, 0.4), False), "TE1, lag 1").low > 0.97
    assert rank(theory.of((0.6, 0.4), False), "TE1").high < -0.7
    assert abs(rank(theory.of((0.6, 0.4), True), "TE1, lag 1").mean) < 0.1
    header, *rows = table(theory)
    assert [row[0] for row in rows] == list(PROXIES) and {len(row) for row in rows} == {len(header)} == {6}


def test_rank_is_over_the_repeats() -> None:
    def point(c: float, first: float, second: float) -> Point:
        return Point(Coupled(0.6, 0.4, c, 1.0, 0.7), c, {"TE1": [first, second]})

    found = rank([point(0.1, 1, 3), point(0.2, 2, 2), point(0.3, 3, 1)], "TE1")
    assert (found.mean, found.low, found.high) == pytest.approx((0, -0.95, 0.95))


def test_course_counts_only_what_is_clear() -> None:
    up, down, unclear = Rank(0.9, 0.8, 1.0), Rank(-0.9, -1.0, -0.8), Rank(0.1, -0.2, 0.4)
    assert course([up, up, down, unclear]) == "rises with the exact TE in 2 of 4 processes and falls with it in 1"


def test_findings_say_proxy_and_zero(theory: TheoryOfTE) -> None:
    example, time, shuffled, signed = findings(theory)
    assert "0.2512 nats in closed form" in example
    assert "TE1 rises with the exact TE in 3 of 3" in time and "lag 0, as it is trained, it rises" in time
    assert "the true TE is 0" in shuffled and "proxy" in shuffled
    assert "signed" in signed


@pytest.mark.slow
def test_files(theory: TheoryOfTE, tmp_path: Path) -> None:
    written = write_te_theory(theory, tmp_path / "new")
    assert {path.suffix for path in written} == {".svg", ".png", ".csv"}
    rows = list(csv.DictReader((tmp_path / "new" / "te_theory.csv").read_text().splitlines()))
    assert len(rows) == len(theory.points)
    assert float(rows[5]["te_nats"]) == theory.points[5].exact
    assert float(rows[5]["TE1, lag 1"]) == np.mean(theory.points[5].proxies["TE1, lag 1"])


def test_the_figure_shows_every_process(theory: TheoryOfTE) -> None:
    axes = te_figure(theory).axes
    assert [ax.get_title() for ax in axes] == [
        *("TE1", "TE1, lag 1", "TE1, shuffled"),
        *("exact TE, nats", "TE1", "TE1, lag 1"),
    ]
    assert all(len(ax.lines) >= len(PROCESSES) for ax in axes)
    exact = np.asarray(axes[3].lines[0].get_ydata())
    assert exact == pytest.approx(exact[::-1]) and exact[0] > 0.5


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    options = ["--steps", "16", "--dim", "4", "--repeats", "10", "--folder", str(tmp_path / "a")]
    done = CliRunner().invoke(app, ["te-theory", *options])
    assert done.exit_code == 0, done.output
    assert "16 steps, 4 dimensions, 10 repeats" in done.output and "TE2, shuffled" in done.output
    assert (tmp_path / "a" / "te_theory.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("steps", "dim", "repeats", "message"),
    [
        (7, 64, 20, "steps >= 8 and dim >= 2, but got steps = 7, dim = 64"),
        (8, 1, 20, "but got steps = 8, dim = 1"),
        (8, 2, 9, "at least 10, but got 9"),
    ],
)
def test_what_cannot_be_seen(tmp_path: Path, steps: int, dim: int, repeats: int, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        print_te_theory(steps, dim, repeats, tmp_path)
    assert not list(tmp_path.iterdir())
