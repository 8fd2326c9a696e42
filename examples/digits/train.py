"""Train the demo's digit classifier, export it to ONNX and write its data sets.

    pip install torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 scikit-learn==1.9.1
    python train.py

Writes beside this file, in about a minute:

    digits.onnx      graph input "image"  float32 (batch, 1, 8, 8), values in [0, 1]
                     graph output "logits" float32 (batch, 10)
    calibration.npz  "image": 256 training images
    evaluation.npz   "image": 500 test images, "labels": int64 (500,)
"""

import logging
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

SEED = 2026
OPSET = 18
TEST_COUNT = 500
CALIBRATION_COUNT = 256
EPOCHS = 20
BATCH_SIZE = 64
LEARNING_RATE = 3e-3
MAX_SHIFT = 1

FOLDER = Path(__file__).resolve().parent

log = logging.getLogger("train")


class DigitClassifier(nn.Module):
    """Four 3x3 convolutions, a global average and one dense layer.

    Nearly all of its work is in wide, plain convolutions, where int8 kernels gain most.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *convolution(1, 32),
            *convolution(32, 128),
            *convolution(128, 128),
            *convolution(128, 128),
        )
        self.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))

    def forward(self, image: Tensor) -> Tensor:
        """Map images (batch, 1, 8, 8) to logits (batch, 10)."""
        logits: Tensor = self.classifier(self.features(image))
        return logits


def convolution(in_channels: int, out_channels: int) -> list[nn.Module]:
    """Return a 3x3 convolution that keeps height and width, its BatchNorm and its ReLU."""
    return [
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    ]


def load_split() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return training images, test images, training labels and test labels, stratified by digit."""
    digits = load_digits()
    images: NDArray[np.float32] = (digits.images[:, np.newaxis] / 16).astype(np.float32)
    labels: NDArray[np.int64] = digits.target.astype(np.int64)
    parts = train_test_split(
        images, labels, test_size=TEST_COUNT, stratify=labels, random_state=SEED
    )
    train_images, test_images, train_labels, test_labels = map(torch.from_numpy, parts)
    return train_images, test_images, train_labels, test_labels


def shift(images: Tensor) -> Tensor:
    """Move a batch of images by up to MAX_SHIFT pixels each way, filling with zeros."""
    height, width = images.shape[2:]
    padded = nn.functional.pad(images, (MAX_SHIFT,) * 4)
    top, left = torch.randint(2 * MAX_SHIFT + 1, (2,)).tolist()
    return padded[:, :, top : top + height, left : left + width]


def fit(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Train with AdamW and a one-cycle learning rate."""
    steps = EPOCHS * -(-len(images) // BATCH_SIZE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    loss_function = nn.CrossEntropyLoss(label_smoothing=0.05)
    model.train()
    for _ in range(EPOCHS):
        for rows in torch.split(torch.randperm(len(images)), BATCH_SIZE):
            loss = loss_function(model(shift(images[rows])), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()


def measure_accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the fraction of images whose largest logit is the label's."""
    with torch.no_grad():
        hits = model(images).argmax(dim=1) == labels
    return float(hits.float().mean())


def export(model: nn.Module, example: Tensor, target: Path) -> None:
    """Write the model with a dynamic batch and without the exporter's metadata.

    The metadata holds stack traces with folder names of the machine that exported.
    """
    torch.onnx.export(
        model,
        (example,),
        target,
        input_names=["image"],
        output_names=["logits"],
        opset_version=OPSET,
        dynamic_shapes={"image": {0: torch.export.Dim("batch", min=1)}},
        external_data=False,
        verbose=False,
    )
    exported = onnx.load(target)
    graph = exported.graph
    values = (*graph.input, *graph.output, *graph.value_info)
    for part in (exported, graph, *graph.node, *graph.initializer, *values):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.checker.check_model(exported, full_check=True)
    onnx.save(exported, target)


def main() -> None:
    """Train, export and write the data sets."""
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    # One thread adds in the same order on every run.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    torch.manual_seed(SEED)
    train_images, test_images, train_labels, test_labels = load_split()
    model = DigitClassifier()
    fit(model, train_images, train_labels)
    accuracy = measure_accuracy(model, test_images, test_labels)
    export(model, test_images[:2], FOLDER / "digits.onnx")
    np.savez_compressed(FOLDER / "calibration.npz", image=train_images[:CALIBRATION_COUNT].numpy())
    np.savez_compressed(
        FOLDER / "evaluation.npz", image=test_images.numpy(), labels=test_labels.numpy()
    )
    log.info("test accuracy %.3f on %d images", accuracy, TEST_COUNT)


if __name__ == "__main__":
    main()
