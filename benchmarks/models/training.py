"""Train the small image and table models of the benchmark, in an environment of its own.

    pip install torch onnxscript scikit-learn skl2onnx onnx numpy
    python -m benchmarks.models.training [FOLDER]        # about three minutes on 2 cores

Writes digits_cnn.onnx, mnist_cnn.onnx, digits_forest.onnx and digits_pipeline.onnx, and their data
as digits.npz, mnist.npz and digits_flat.npz (`x_train`, `y_train`, `x_test`, `y_test`).
"""

import gzip
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

SEED = 11
OPSET, ML_OPSET = 18, 3
BATCH_SIZE = 64
EXAMPLES = 2

Split = dict[str, npt.NDArray[np.generic]]


class DigitsNet(nn.Sequential):
    """Four plain convolutions in two stages, then two dense layers, on 8 by 8 pixels."""

    def __init__(self) -> None:
        super().__init__(
            *_convolution(1, 32), *_convolution(32, 32), nn.MaxPool2d(2),
            *_convolution(32, 64), *_convolution(64, 64), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10),
        )  # fmt: skip


class Residual(nn.Module):
    """An inverted residual: a wide depthwise convolution between two pointwise ones."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        wide = 2 * width
        self.has_skip = stride == 1 and width == out
        self.body = nn.Sequential(
            nn.Conv2d(width, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, stride, padding=1, groups=wide, bias=False),
            nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, out, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip

    def forward(self, maps: Tensor) -> Tensor:
        """Map (batch, width, height, width) to (batch, out, height / stride, width / stride)."""
        result: Tensor = self.body(maps)
        return maps + result if self.has_skip else result


class MnistNet(nn.Sequential):
    """A small MobileNet on 28 by 28 pixels."""

    def __init__(self) -> None:
        super().__init__(
            *_convolution(1, 16, stride=2),
            Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 32, 1),
            Residual(32, 64, 2), Residual(64, 64, 1), Residual(64, 64, 1),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
        )  # fmt: skip


def main() -> None:
    """Train everything, always the same way."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".models")
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    train_network("digits", DigitsNet(), split(images, digits.target, 500), folder, epochs=30)
    with gzip.open(folder / "data/mnist_5k.csv.gz", "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    images = (table[:, :-1] / 255).reshape(-1, 1, 28, 28)
    train_network("mnist", MnistNet(), split(images, table[:, -1], 1000), folder, epochs=15)
    train_classical(split(digits.data.astype(np.float32), digits.target, 500), folder)


def split(values: npt.NDArray[Any], labels: npt.NDArray[Any], test_size: int) -> Split:
    """Return a training and a test part with the same share of each class."""
    x_train, x_test, y_train, y_test = train_test_split(
        values, labels.astype(np.int64), test_size=test_size, stratify=labels, random_state=SEED
    )
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def train_network(name: str, network: nn.Module, data: Split, folder: Path, *, epochs: int) -> None:
    """Train on images moved by a pixel, and write the model and its data."""
    images, labels = torch.from_numpy(data["x_train"]), torch.from_numpy(data["y_train"])
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3)
    steps = epochs * -(-len(images) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    network.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(BATCH_SIZE):
            shift = torch.randint(-1, 2, (2,)).tolist()
            moved = torch.roll(images[rows], shift, dims=(2, 3))
            loss = nn.functional.cross_entropy(network(moved), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        guesses = network(torch.from_numpy(data["x_test"])).argmax(dim=1).numpy()
    sys.stdout.write(f"{name}_cnn: accuracy {np.mean(guesses == data['y_test']):.4f}\n")
    np.savez_compressed(folder / f"{name}.npz", **data)
    _export(network, torch.from_numpy(data["x_test"][:EXAMPLES]), folder / f"{name}_cnn.onnx")


def train_classical(data: Split, folder: Path) -> None:
    """Train a forest, which holds no weight matrix, and a pipeline with a small network."""
    np.savez_compressed(folder / "digits_flat.npz", **data)
    network = MLPClassifier((256, 128), max_iter=60, early_stopping=True, random_state=SEED)
    models = {
        "digits_forest": RandomForestClassifier(100, random_state=SEED),
        "digits_pipeline": make_pipeline(StandardScaler(), network),
    }
    for name, model in models.items():
        model.fit(data["x_train"], data["y_train"])
        accuracy = model.score(data["x_test"], data["y_test"])
        sys.stdout.write(f"{name}: accuracy {accuracy:.4f}\n")
        exported = to_onnx(
            model,
            initial_types=[("pixels", FloatTensorType([None, data["x_train"].shape[1]]))],
            options={id(model): {"zipmap": False}},
            target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
        )
        (folder / f"{name}.onnx").write_bytes(exported.SerializeToString())


def _convolution(width: int, out: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(width, out, 3, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(out), nn.ReLU6()]


def _export(network: nn.Module, example: Tensor, target: Path) -> None:
    """Write a model for any batch size, without the exporter's record of source lines."""
    warnings.simplefilter("ignore", FutureWarning)
    torch.onnx.export(
        network,
        (example,),
        str(target),
        input_names=["image"],
        output_names=["logits"],
        opset_version=OPSET,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    model = onnx.load(target)
    for node in model.graph.node:
        node.ClearField("metadata_props")
    onnx.save(model, target)


if __name__ == "__main__":
    main()
