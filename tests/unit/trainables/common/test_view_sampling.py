"""Which picture and which caption of a row a step sees: every one that exists, the same for inputs and targets."""

import torch

from trainables.common.types import Batch, ModelOutput
from trainables.common.view_sampling import ViewSample, sample_views
from trainables.training.inputs import as_numbers, select_rows

ROWS, VIEWS, CAPTIONS = 6, 3, 4


def captioned() -> Batch:
    """Row i's view v is all 10 i + v, its caption c all 100 i + c; row i has 1 + i % 4 captions."""
    rows = torch.arange(ROWS)
    images = (10 * rows[:, None] + torch.arange(VIEWS)).to(torch.uint8)[..., None, None, None].expand(-1, -1, 3, 2, 2)
    tokens = (100 * rows[:, None] + torch.arange(CAPTIONS)).int()[..., None].expand(-1, -1, 5)
    exists = torch.arange(CAPTIONS) <= rows[:, None] % CAPTIONS
    return Batch(images.contiguous(), tokens.contiguous(), exists, torch.ones(ROWS, dtype=torch.bool), rows)


def test_every_view_and_existing_caption_is_drawn_about_equally_often() -> None:
    data, rows = captioned(), torch.full((4000,), 2)
    draw = sample_views(data, rows, torch.Generator().manual_seed(0))
    assert (draw.views.bincount() / 4000 - 1 / 3).abs().max() < 0.03
    assert (draw.captions.bincount(minlength=4) / 4000 - torch.tensor([1, 1, 1, 0]) / 3).abs().max() < 0.03
    assert sample_views(data, torch.zeros(50).long(), torch.Generator()).captions.eq(0).all()


def test_the_generator_alone_decides() -> None:
    data, rows = captioned(), torch.arange(ROWS)
    first, again, other = (sample_views(data, rows, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_rows_whose_labels_are_classes_have_all_their_captions() -> None:
    data = captioned()._replace(labels=torch.zeros(ROWS).long())
    draw = sample_views(data, torch.zeros(400).long(), torch.Generator().manual_seed(0))
    assert set(draw.captions.tolist()) == {0, 1, 2, 3}


def test_inputs_and_stored_outputs_are_picked_alike() -> None:
    data, rows = captioned(), torch.tensor([5, 1])
    draw = ViewSample(torch.tensor([2, 0]), torch.tensor([1, 0]))
    images = select_rows(data.teacher, rows, torch.device("cpu"), torch.float64, draw.views)
    tokens = select_rows(data.student, rows, torch.device("cpu"), torch.float64, draw.captions)
    assert images.shape == (2, 1, 3, 2, 2) and tokens.shape == (2, 1, 5)
    assert (images[:, 0, 0, 0, 0] * 255).tolist() == [52, 10] and tokens[:, 0, 0].tolist() == [501, 100]
    stored = torch.arange(2.0 * (VIEWS + CAPTIONS)).view(2, -1, 1).expand(-1, -1, 3)
    outputs = draw.of_outputs(ModelOutput(stored, torch.zeros(2, 3), -stored), VIEWS)
    assert outputs.logits[..., 0].tolist() == [[2, 4], [7, 10]]
    assert outputs.embeddings is not None and torch.equal(outputs.embeddings, -outputs.logits)


def test_tokens_stay_whole_numbers_and_pixels_become_fractions() -> None:
    tokens = as_numbers(torch.tensor([49407], dtype=torch.int32), torch.device("cpu"), torch.float32)
    assert tokens.dtype == torch.int32 and tokens.item() == 49407
    assert as_numbers(torch.tensor([255], dtype=torch.uint8), torch.device("cpu"), torch.float32).item() == 1.0
