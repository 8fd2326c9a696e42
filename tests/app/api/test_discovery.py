from tests.app.conftest import MAX_UPLOAD_BYTES


def test_describes_every_method(client):
    methods = {it["name"]: it for it in client.get("/v1/methods").json()}

    assert "static_quantization" in methods
    assert all(it["description"] for it in methods.values())
    schema = methods["static_quantization"]["options_schema"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["method"]["const"] == "static_quantization"


def test_tells_the_limits_in_force(client):
    limits = client.get("/v1/limits").json()

    assert limits["max_upload_bytes"] == MAX_UPLOAD_BYTES
    assert limits["operation_time_limit_seconds"] == 60
    assert limits["retention_days"] == 7


def test_publishes_the_schemas_of_spec_and_report(client, report):
    spec = client.get("/v1/schemas/spec").json()
    published = client.get("/v1/schemas/report").json()

    assert spec["$id"] == "urn:onnxpress:spec:1"
    assert spec["properties"]["passes"]
    assert published["properties"].keys() == report.model_dump(mode="json").keys()
    assert published["properties"]["layers"]["description"] == "Worst first."


def test_has_no_schema_of_other_documents(client):
    assert client.get("/v1/schemas/model").status_code == 422
