"""The pure part of the local Functions host: route templates, the choice among functions, and keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.functions_host.bindings import HttpFunction
from local.functions_host.errors import RouteError, SettingsError
from local.functions_host.keys import AuthLevel, Keys
from local.functions_host.routing import RouteTable, parse_template

SEGMENT = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)


def http_function(name: str, route: str, *methods: str) -> HttpFunction:
    return HttpFunction(
        name=name,
        function_id=f"id of {name}",
        parameter="req",
        route=route,
        methods=frozenset(methods) or None,
        level=AuthLevel.ANONYMOUS,
    )


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("api/cars", "/api/cars", {}),
        ("api/cars", "/API/Cars", {}),
        ("api/cars", "/api/cars/", {}),
        ("api/cars", "/api/cars/7", None),
        ("api/cars", "/api", None),
        ("api/cars/{id}", "/api/cars/Ab-7", {"id": "Ab-7"}),
        ("api/cars/{id}", "/api/cars", None),
        ("api/cars/{id}", "/api/cars//", None),
        ("api/cars/{id}", "/api/cars/a%2Fb", {"id": "a%2Fb"}),
        ("api/cars/{id?}", "/api/cars", {}),
        ("api/cars/{id?}", "/api/cars/7", {"id": "7"}),
        ("api/cars/{id=first}", "/api/cars", {"id": "first"}),
        ("api/cars/{id=first}", "/api/cars/7", {"id": "7"}),
        ("api/{make}/cars/{id}", "/api/vw/cars/7", {"make": "vw", "id": "7"}),
        ("api/files/{*path}", "/api/files/a/b.txt", {"path": "a/b.txt"}),
        ("api/files/{**path}", "/api/files/a/b", {"path": "a/b"}),
        ("api/files/{*path}", "/api/files", {}),
        ("api/files/{*path}", "/api/other", None),
        ("/{*route}", "/", {}),
    ],
)
def test_a_template_takes_the_paths_of_its_shape(template: str, path: str, values: dict[str, str] | None) -> None:
    assert parse_template(template).match(path) == values


@pytest.mark.parametrize(
    ("constraint", "taken", "refused"),
    [
        ("int", ["7", "-7", "2147483647"], ["x", "7.5", "2147483648", "\u0667"]),
        ("long", ["9223372036854775807"], ["9223372036854775808"]),
        ("min(3)", ["3", "4"], ["2", "x"]),
        ("max(3)", ["3", "-9"], ["4"]),
        ("range(3,5)", ["3", "5"], ["2", "6"]),
        ("bool", ["true", "FALSE"], ["yes"]),
        ("guid", ["0f8fad5b-d9cb-469f-a165-70867728950e"], ["0f8fad5b"]),
        ("alpha", ["Volvo"], ["V70"]),
        ("minlength(3)", ["abc"], ["ab"]),
        ("maxlength(3)", ["abc"], ["abcd"]),
        ("length(3)", ["abc"], ["ab", "abcd"]),
        ("length(2,3)", ["ab", "abc"], ["a", "abcd"]),
        ("int:min(1)", ["1"], ["0", "x"]),
    ],
)
def test_a_constraint_decides_whether_the_route_matches(constraint: str, taken: list[str], refused: list[str]) -> None:
    template = parse_template(f"cars/{{id:{constraint}}}")
    assert [template.match(f"/cars/{value}") for value in taken] == [{"id": value} for value in taken]
    assert [template.match(f"/cars/{value}") for value in refused] == [None] * len(refused)


def test_an_optional_parameter_with_a_constraint_may_be_left_out() -> None:
    template = parse_template("cars/{id:int?}")
    assert template.match("/cars") == {}
    assert template.match("/cars/x") is None


@pytest.mark.parametrize(
    "template",
    [
        "api//cars",
        "cars/{id}/{ID}",
        "cars/{*rest}/more",
        "cars/{id?}/more",
        "cars/{id:regex(^a$)}",
        "cars/{id:range(1)}",
        "cars/{id:min(x)}",
        "cars/{make}-{model}",
        "cars/{id",
        "cars/{id=1?}",
    ],
)
def test_a_template_that_the_host_would_refuse_or_that_is_not_imitated_is_refused(template: str) -> None:
    with pytest.raises(RouteError, match="route"):
        parse_template(template)


@given(st.lists(SEGMENT, min_size=1, max_size=4), st.data())
def test_a_literal_route_matches_its_own_path_in_any_case(segments: list[str], data: st.DataObject) -> None:
    template = parse_template("/".join(segments))
    respelled = [data.draw(st.sampled_from([part, part.lower(), part.upper()])) for part in segments]
    assert template.match("/" + "/".join(respelled)) == {}
    assert template.match("/" + "/".join([*segments, "more"])) is None


@given(st.dictionaries(SEGMENT.map(lambda name: f"p{name.lower()}"), SEGMENT, min_size=1, max_size=4))
def test_a_route_of_parameters_gives_back_the_values_of_the_path(values: dict[str, str]) -> None:
    template = parse_template("/".join(f"{{{name}}}" for name in values))
    assert template.match("/" + "/".join(values.values())) == values


def test_the_first_function_in_name_order_wins_over_the_more_specific_one() -> None:
    table = RouteTable([http_function("B", "cars/new"), http_function("a", "cars/{id}")], "api")
    found = table.find("GET", "/api/cars/new")
    assert found is not None
    assert (found[0].name, found[1]) == ("a", {"id": "new"})


def test_a_function_that_does_not_take_the_method_leaves_the_path_to_the_next() -> None:
    table = RouteTable([http_function("a", "cars", "GET"), http_function("b", "cars", "POST")], "api")
    found = table.find("post", "/api/cars")
    assert found is not None
    assert found[0].name == "b"
    assert table.find("DELETE", "/api/cars") is None


def test_the_prefix_may_be_changed_or_left_out() -> None:
    assert RouteTable([http_function("a", "cars")], "v1/insurer").find("GET", "/v1/insurer/cars") is not None
    assert RouteTable([http_function("a", "cars")], "").find("GET", "/cars") is not None
    assert RouteTable([http_function("a", "cars")], "").find("GET", "/api/cars") is None


def test_two_functions_with_one_route_and_a_common_method_are_refused() -> None:
    with pytest.raises(RouteError, match="function b: its route 'Cars/' is taken by a"):
        RouteTable([http_function("a", "cars"), http_function("b", "Cars/", "POST")], "api")


def test_the_route_space_of_the_host_itself_is_refused() -> None:
    with pytest.raises(RouteError, match="function a: routes that begin with 'admin'"):
        RouteTable([http_function("a", "Administration/cars")], "api")


def test_a_route_that_begins_with_a_slash_is_refused_under_a_prefix_and_names_its_function() -> None:
    with pytest.raises(RouteError, match="function a: route 'api//cars'"):
        RouteTable([http_function("a", "/cars")], "api")


KEYS = Keys.from_text("old, new,", "master", "car=of the car==, Drivers = of drivers,car=another of the car")


@pytest.mark.parametrize(
    ("presented", "level"),
    [
        ("old", AuthLevel.FUNCTION),
        ("new", AuthLevel.FUNCTION),
        ("master", AuthLevel.ADMIN),
        ("NEW", AuthLevel.ANONYMOUS),
        ("ne", AuthLevel.ANONYMOUS),
        ("clé", AuthLevel.ANONYMOUS),
        ("", AuthLevel.ANONYMOUS),
        (None, AuthLevel.ANONYMOUS),
    ],
)
def test_a_key_opens_the_level_it_was_given_for(presented: str | None, level: AuthLevel) -> None:
    assert KEYS.level_of(presented, "car") is level


@pytest.mark.parametrize(
    ("presented", "function", "level"),
    [
        ("of the car==", "car", AuthLevel.FUNCTION),
        ("of the car==", "CAR", AuthLevel.FUNCTION),
        ("another of the car", "car", AuthLevel.FUNCTION),
        ("of drivers", "drivers", AuthLevel.FUNCTION),
        ("of the car==", "drivers", AuthLevel.ANONYMOUS),
        ("of the car", "car", AuthLevel.ANONYMOUS),
        ("of drivers", "car", AuthLevel.ANONYMOUS),
        ("of drivers", "health", AuthLevel.ANONYMOUS),
    ],
)
def test_the_key_of_a_function_opens_that_one_alone(presented: str, function: str, level: AuthLevel) -> None:
    assert KEYS.level_of(presented, function) is level


def test_a_host_without_keys_opens_nothing_to_an_empty_key() -> None:
    assert Keys.from_text("", "").level_of("", "car") is AuthLevel.ANONYMOUS


@pytest.mark.parametrize("text", ["secret", "=secret", "car=secret,drivers=", "car=secret, =secret"])
def test_a_key_of_a_function_without_its_name_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(SettingsError, match="is not of the form name=key") as refused:
        Keys.from_text("", "", text)
    assert "secret" not in str(refused.value)


def test_the_levels_include_one_another() -> None:
    assert AuthLevel.ANONYMOUS < AuthLevel.FUNCTION < AuthLevel.ADMIN


def test_keys_do_not_show_when_they_are_printed() -> None:
    assert not [key for key in ("old", "master", "of the car", "of drivers") if key in repr(KEYS)]
