import re


def references(node):
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_leads_somewhere(client):
    document = client.get("/openapi.json").json()

    schemas = document["components"]["schemas"]
    wanted = {it.removeprefix("#/components/schemas/") for it in references(document)}
    assert wanted - schemas.keys() == set()
    assert {"JobRequest", "Spec", "Report", "Problem"} <= schemas.keys()


def test_every_call_is_described(client):
    paths = client.get("/openapi.json").json()["paths"]

    operations = [operation for path in paths.values() for operation in path.values()]
    assert len(operations) == len({it["operationId"] for it in operations}) > 20
    assert all(it["description"] and it["tags"] for it in operations)


def test_a_job_can_be_written_in_three_ways(client):
    paths = client.get("/openapi.json").json()["paths"]

    content = paths["/v1/jobs"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "application/yaml", "multipart/form-data"}


def test_has_a_page_for_people(client):
    page = client.get("/docs")

    assert page.status_code == 200
    assert re.search("/openapi.json", page.text)
