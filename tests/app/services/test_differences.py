from app.services.differences import differences


def test_lists_what_not_all_share():
    documents = [{"seed": 1, "gates": {"a": 1, "b": 2}}, {"seed": 1, "gates": {"a": 1, "b": 3}}]

    assert differences(documents) == [{"/gates/b": 2}, {"/gates/b": 3}]


def test_what_one_document_lacks_is_listed_for_the_others():
    assert differences([{"seed": 1, "bits": 4}, {"seed": 1}]) == [{"/bits": 4}, {}]


def test_names_places_in_lists_of_objects():
    documents = [{"passes": [{"method": "a"}]}, {"passes": [{"method": "b"}, {"method": "c"}]}]

    assert differences(documents) == [
        {"/passes/0/method": "a"},
        {"/passes/0/method": "b", "/passes/1/method": "c"},
    ]


def test_a_list_of_plain_values_is_one_value():
    assert differences([{"nodes": ["a", "b"]}, {"nodes": ["a"]}]) == [
        {"/nodes": ["a", "b"]},
        {"/nodes": ["a"]},
    ]


def test_escapes_names_as_json_pointers_do():
    assert differences([{"a/b~c": 1}, {"a/b~c": 2}]) == [{"/a~1b~0c": 1}, {"/a~1b~0c": 2}]


def test_true_is_not_one():
    assert differences([{"a": True}, {"a": 1}]) == [{"/a": True}, {"/a": 1}]


def test_one_document_is_unlike_nothing():
    assert differences([{"a": 1}]) == [{}]
    assert differences([]) == []
