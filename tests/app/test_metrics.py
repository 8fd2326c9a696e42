from app.metrics import Metrics


def test_renders_what_was_counted():
    metrics = Metrics()
    metrics.count_request("GET", "/v1/models", 200, 0.02)
    metrics.count_upload(7)

    text = metrics.render({"queued": 2}, oldest := 1.5).decode()

    assert 'onnxpress_http_requests_total{method="GET",route="/v1/models",status="200"} 1.0' in text
    assert "onnxpress_upload_bytes_total 7.0" in text
    assert 'onnxpress_jobs{state="queued"} 2.0' in text
    assert f"onnxpress_queue_age_seconds {oldest}" in text


def test_a_state_without_jobs_counts_none():
    metrics = Metrics()
    metrics.render({"queued": 2}, 0.0)

    text = metrics.render({"running": 1}, 0.0).decode()

    assert 'onnxpress_jobs{state="queued"} 0.0' in text
