"""Small nets trained with torch on noisy labels; runs in the peers' environment.

Reads lines ``IN.npz OUT.npz`` from standard input and answers each with ``done``. In: ``x``, ``y``, ``x_test``,
``kind`` (``mlp``: 64-32; ``cnn``: 3×3 convolutions, two pools, global average), ``width``, ``seed``, ``epochs``,
``folds``, ``mirror``. Out: ``probs``, out-of-fold ``oof``, ``test_probs``, penultimate ``features``, ``test_features``.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from torch import nn

BATCH, STEP, DECAY = 64, 1e-3, 1e-4


class Net(nn.Module):
    """A body and a linear last layer."""

    def __init__(self, body: nn.Module, width: int, n_classes: int) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(width, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of the classes."""
        return self.head(self.body(x))


def mlp(n_inputs: int, n_classes: int) -> Net:
    body = nn.Sequential(nn.Linear(n_inputs, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
    return Net(body, 32, n_classes)


def cnn(n_channels: int, n_classes: int, width: int) -> Net:
    def layer(a: int, b: int) -> list[nn.Module]:
        return [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]

    body = nn.Sequential(
        *layer(n_channels, width),
        *layer(width, width),
        nn.MaxPool2d(2),
        *layer(width, 2 * width),
        *layer(2 * width, 2 * width),
        nn.MaxPool2d(2),
        *layer(2 * width, 2 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return Net(body, 2 * width, n_classes)


def trained(task: dict, rows: np.ndarray, seed: int) -> Net:
    """A net after all epochs on some rows; images of CIFAR-10 are mirrored at random."""
    torch.manual_seed(seed)
    x, y, n_classes = task["x"][rows], task["y"][rows], int(task["n_classes"])
    image = str(task["kind"]) == "cnn"
    net = cnn(x.shape[1], n_classes, int(task["width"])) if image else mlp(x.shape[1], n_classes)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    steps = int(task["epochs"]) * -(-len(x) // BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), STEP, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3 * STEP, total_steps=steps) if image else None
    net.train()
    for _ in range(int(task["epochs"])):
        for batch in torch.randperm(len(x)).split(BATCH):
            optimiser.zero_grad()
            inputs = x[batch]
            if bool(task["mirror"]) and torch.rand(()) < 0.5:
                inputs = inputs.flip(-1)
            nn.functional.cross_entropy(net(inputs), y[batch]).backward()
            optimiser.step()
            if schedule is not None:
                schedule.step()
    return net.eval()


def outputs(net: Net, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class probabilities and penultimate features."""
    with torch.no_grad():
        features = torch.cat([net.body(part) for part in torch.from_numpy(x).split(500)])
        probs = net.head(features).double().softmax(1)
    return probs.numpy(), features.double().numpy()


def run(task: dict) -> dict[str, np.ndarray]:
    task = {**task, "y": task["y"].astype(np.int64)}
    for name in ("x", "x_test"):
        task[name] = np.ascontiguousarray(task[name], dtype=np.float32)
    seed, n = int(task["seed"]), len(task["y"])
    net = trained(task, np.arange(n), seed)
    out = dict(zip(("probs", "features"), outputs(net, task["x"]), strict=True))
    out |= dict(zip(("test_probs", "test_features"), outputs(net, task["x_test"]), strict=True))
    folds = int(task["folds"])
    fold = np.random.default_rng(seed).permutation(np.arange(n) % folds)
    out["oof"] = np.empty_like(out["probs"])
    for k in range(folds):
        part = trained(task, np.flatnonzero(fold != k), seed + 1 + k)
        out["oof"][fold == k] = outputs(part, task["x"][fold == k])[0]
    return out


def main() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        source, target = line.split()
        with np.load(source) as kept:
            task = {name: kept[name] for name in kept.files}
        np.savez(target, **run(task))
        print("done", flush=True)


if __name__ == "__main__":
    main()
