# syntax=docker/dockerfile:1
# Two images from one file:
#   docker build --target cpu -t onnxpress .
#   docker build --target gpu -t onnxpress:gpu .

FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    ORT_DISABLE_TELEMETRY=1 \
    ONNXPRESS_DATA_DIR=/var/lib/onnxpress
RUN groupadd --system --gid 10001 onnxpress \
    && useradd --system --uid 10001 --gid onnxpress --home-dir /var/lib/onnxpress onnxpress \
    && install -d -o onnxpress -g onnxpress -m 0750 /var/lib/onnxpress
WORKDIR /src

FROM base AS gpu
COPY requirements-gpu.txt .
RUN pip install --require-hashes -r requirements-gpu.txt
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY worker worker
COPY client client
COPY migrations migrations
COPY examples examples
RUN pip install --no-deps . && rm -rf /src/*
ENV ONNXPRESS_EXECUTION_PROVIDER=cuda
USER onnxpress
WORKDIR /var/lib/onnxpress
STOPSIGNAL SIGTERM
ENTRYPOINT ["onnxpress"]
CMD ["worker"]

FROM base AS cpu
COPY requirements.txt .
RUN pip install --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY worker worker
COPY client client
COPY migrations migrations
COPY examples examples
RUN pip install --no-deps . && rm -rf /src/*
USER onnxpress
WORKDIR /var/lib/onnxpress
STOPSIGNAL SIGTERM
EXPOSE 8000
ENTRYPOINT ["onnxpress"]
CMD ["api", "--host", "0.0.0.0"]
