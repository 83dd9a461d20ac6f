"""Frozen dataclasses to JSON and back, strictly, and "a.b=value" overrides; it knows no particular config.

A field may be a bool, int, float, str, None, Literal, nested dataclass, tuple, list or dict of these, or a union.
"""

import difflib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from uniaudio.errors import InputError

Config = TypeVar("Config")

_SCALARS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", NoneType: "none"}


def to_dict(config: Any) -> dict[str, Any]:
    """Return every field of a config dataclass as plain JSON values; `from_dict` gives the same config back.

    Raises TypeError for a value that JSON cannot hold and ValueError for a NaN or infinite one.
    """
    if not is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"a config is an instance of a dataclass, not {config!r}")
    return _to_json(config, type(config).__name__)


def from_dict(cls: type[Config], data: Any) -> Config:
    """Build a `cls` from plain JSON values.

    Every key must be a field and every field without a default must be there, so a mistyped name cannot pass.
    A whole number is taken for a float field; nothing else is converted. Raises InputError that names the key and
    the valid ones, also where the dataclass itself refuses its values (a ValueError in its __post_init__).
    """
    return _build(cls, data, cls.__name__)


def override(config: Config, changes: Sequence[str]) -> Config:
    """Return a copy with changes such as `["optim.lr=1e-4", "num_layers=8"]`; later ones win.

    A value is read as the type of its field: `none` for an optional one, `8,16` or `[8, 16]` for a tuple or list,
    JSON for a dict or a whole nested config. All changes are made before the dataclass checks itself.
    Raises InputError for an unknown key (naming the valid ones) or a value of the wrong type.
    """
    tree: dict[str, Any] = {}
    for change in changes:
        key, equals, text = change.partition("=")
        key = key.strip()
        if not equals or not key:
            raise InputError(f"{change!r} is not a change: write key=value, for example optim.lr=1e-4")
        _insert(tree, key, text.strip())
    return _apply(config, tree, type(config).__name__)


def _init_fields(config: Any) -> dict[str, Field[Any]]:
    return {field.name: field for field in fields(config) if field.init}


def _to_json(value: Any, where: str) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _to_json(getattr(value, name), f"{where}.{name}") for name in _init_fields(value)}
    if isinstance(value, list | tuple):
        return [_to_json(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _to_json(item, f"{where}.{key}") for key, item in value.items()}
    if type(value) not in _SCALARS:
        raise TypeError(f"{where} is {_show(value)}, which JSON cannot hold")
    if _is_infinite(value):
        raise ValueError(f"{where} is {value}, which JSON cannot hold")
    return value


def _is_infinite(value: Any) -> bool:
    """Whether `value` is one of the floats that JSON cannot hold, NaN included."""
    return isinstance(value, float) and not math.isfinite(value)


# From plain values


def _build(cls: type[Config], data: Any, where: str) -> Config:
    if not isinstance(data, dict):
        raise InputError(f"{where} must be {_describe(cls)}, not {_show(data)}")
    known, hints = _init_fields(cls), get_type_hints(cls)
    _check_known(data, known, where)
    for name, field in known.items():
        if name not in data and field.default is MISSING and field.default_factory is MISSING:
            raise InputError(f"{where} lacks {name!r}; its keys are {', '.join(known)}")
    values = {name: _from_json(hints[name], value, f"{where}.{name}") for name, value in data.items()}
    return _checked(where, lambda: cls(**values))


def _from_json(kind: Any, value: Any, where: str) -> Any:
    """Return `value` as the annotation `kind` wants it, or raise InputError."""
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind) and isinstance(kind, type):
        return _build(kind, value, where)
    if origin in (Union, UnionType):
        return _first_fit(kind, value, where)
    if origin in (list, tuple) and isinstance(value, list):
        return _sequence(kind, value, where)
    if origin is dict and isinstance(value, dict):
        return {key: _from_json(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin is Literal and any(value == choice and type(value) is type(choice) for choice in arguments):
        return value
    if (kind is Any or (kind in _SCALARS and type(value) is kind)) and not _is_infinite(value):
        return value
    if kind is float and type(value) is int:
        return float(value)
    raise InputError(f"{where} must be {_describe(kind)}, not {_show(value)}")


def _sequence(kind: Any, value: list[Any], where: str) -> Any:
    """Convert the items of a `list[X]`, a `tuple[X, ...]` or a `tuple[X, Y]`."""
    origin, kinds = get_origin(kind), get_args(kind)
    if origin is list or kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise InputError(f"{where} must be {_describe(kind)}, not {_show(value)}")
    items = enumerate(zip(kinds, value, strict=True))
    return (origin or list)(_from_json(item_kind, item, f"{where}[{index}]") for index, (item_kind, item) in items)


def _first_fit(kind: Any, value: Any, where: str) -> Any:
    """Convert `value` to the first member of a union that takes it; its exact type comes first."""
    nested = []
    for choice in sorted(get_args(kind), key=lambda choice: type(value) is not choice):
        try:
            return _from_json(choice, value, where)
        except InputError as error:
            nested += [error] if is_dataclass(choice) else []
    if isinstance(value, dict) and len(nested) == 1:
        raise nested[0]  # only one nested config was possible: what it misses says more
    raise InputError(f"{where} must be {_describe(kind)}, not {_show(value)}")


# From text


def _insert(tree: dict[str, Any], key: str, text: str) -> None:
    """Put `text` at "a.b.c" of a tree of dicts."""
    *parents, name = key.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise InputError(f"{key!r} is part of {parent!r}, which another change sets as a whole: keep one of them")
    if isinstance(tree.get(name), dict):
        raise InputError(f"{key!r} is set as a whole, and in part by another change: keep one of them")
    tree[name] = text


def _apply(config: Any, tree: dict[str, Any], where: str) -> Any:
    known, hints = _init_fields(config), get_type_hints(type(config))
    _check_known(tree, known, where)
    values = {}
    for name, change in tree.items():
        current, full_name = getattr(config, name), f"{where}.{name}"
        if isinstance(change, str):
            values[name] = _parse(hints[name], change, full_name)
        elif is_dataclass(current):
            values[name] = _apply(current, change, full_name)
        else:
            raise InputError(f"{full_name} has no parts to set by name: it is {_show(current)}")
    return _checked(where, lambda: replace(config, **values))


def _parse(kind: Any, text: str, where: str) -> Any:
    """Return the first reading of `text` that the annotation `kind` takes."""
    answer = InputError(f"{where} must be {_describe(kind)}, not {text!r}")
    for value in _readings(text):
        try:
            return _from_json(kind, value, where)
        except InputError as error:
            answer = error if isinstance(value, dict) else answer  # it names the key inside
    raise answer


def _readings(text: str) -> Iterator[Any]:
    """Everything that text on a command line can mean, the narrowest first and the text itself before lists."""
    if text.lower() in ("none", "null"):
        yield None
    if text.lower() in ("true", "false"):
        yield text.lower() == "true"
    yield from _numbers(text)
    if text[:1] in ("[", "{"):
        try:
            yield json.loads(text)
        except ValueError:
            pass
    yield text
    parts = [part.strip() for part in text.strip("()[]").split(",") if part.strip()]
    yield [next(_numbers(part), part) for part in parts]
    yield parts


def _numbers(text: str) -> Iterator[int | float]:
    try:
        yield int(text)
    except ValueError:
        try:
            number = float(text)
        except ValueError:
            return
        if number.is_integer():  # 1e5 is a fine number of steps
            yield int(number)
        yield number


# Errors


def _check_known(keys: Iterable[str], known: dict[str, Any], where: str) -> None:
    for key in keys:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise InputError(f"{where} has no {str(key)!r}{hint}; its keys are {', '.join(known) or 'none'}")


def _checked(where: str, make: Callable[[], Config]) -> Config:
    """Call `make`, turning what a dataclass says about its own values into an InputError."""
    try:
        return make()
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _describe(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if is_dataclass(kind) and isinstance(kind, type):
        return f"the keys {', '.join(_init_fields(kind))}"
    if origin in (Union, UnionType):
        return " or ".join(map(_describe, arguments))
    if origin is Literal:
        return f"one of {', '.join(map(repr, arguments))}"
    if origin is tuple and arguments[-1] is not Ellipsis:
        return f"a list of {len(arguments)}: {', '.join(map(_describe, arguments))}"
    if origin in (list, tuple):
        return f"a list, each {_describe(arguments[0])}"
    if origin is dict:
        return f"names, each with {_describe(arguments[1])}"
    if kind is Any:
        return "any JSON value"
    raise TypeError(f"a config field cannot be annotated {kind}")


def _show(value: Any) -> str:
    text = repr(value).replace("\n", " ")
    return text if len(text) <= 80 else f"{text[:77]}..."
