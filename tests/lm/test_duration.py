"""The duration predictor: it learns from a description how fast to speak, and padding changes nothing."""

import torch

from uniaudio.lm.duration import DurationConfig, DurationPredictor, duration_loss


def test_a_description_changes_the_tempo_once_learnt():
    torch.manual_seed(0)
    model = DurationPredictor(DurationConfig(num_ids=8, width=16, layers=1, caption_dim=4))
    ids, mask = torch.randint(8, (1, 6)).expand(2, 6), torch.ones(2, 6, dtype=torch.bool)
    captions = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0]])
    seconds = torch.tensor([[0.05], [0.2]]).expand(2, 6)  # slow where the second description says so
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(200):
        optimizer.zero_grad()
        duration_loss(model, ids, seconds, mask, captions).backward()
        optimizer.step()
    fast, slow = (model.seconds(ids[0], caption).mean() for caption in captions)
    assert slow > 2 * fast
    assert torch.equal(model.seconds(ids[0]), model.seconds(ids[0], torch.zeros(4)))


def test_padding_changes_nothing():
    torch.manual_seed(0)
    model = DurationPredictor(DurationConfig(num_ids=8, width=16, layers=2)).eval()
    ids = torch.randint(8, (1, 5))
    padded = torch.cat((ids, torch.ones(1, 3, dtype=torch.long)), dim=1)
    keep = torch.arange(8)[None] < 5
    alone = model(ids, torch.ones(1, 5, dtype=torch.bool))
    assert torch.allclose(model(padded, keep)[:, :5], alone, atol=1e-5)
