"""Config dataclasses to JSON and back, and overrides: what passes, and which key the error names when it does not."""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal, Optional

import pytest

from uniaudio.config import from_dict, override, to_dict
from uniaudio.errors import InputError


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)
    warmup: int = 100
    schedule: Literal["cosine", "constant", 0] = "cosine"


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    width: int
    heads: int = 1

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")


@dataclass(frozen=True, kw_only=True)
class Config:
    name: str
    decoder: DecoderConfig
    optim: OptimConfig = OptimConfig()
    second: DecoderConfig | None = None
    layers: tuple[int, ...] = (1, 2)
    tags: list[str] = field(default_factory=list)
    weights: dict[str, float] = field(default_factory=dict)
    causal: bool = True
    limit: int | None = None
    note: Optional[str] = None  # noqa: UP045 - the older spelling must work too
    amount: float | int = 1
    blocks: tuple[tuple[int, str], ...] = ()
    free: Any = None
    derived: int = field(init=False, default=7)


CONFIG = Config(
    name="tiny",
    decoder=DecoderConfig(width=8, heads=2),
    second=DecoderConfig(width=4),
    tags=["a", "b"],
    weights={"mel": 15.0, "adversarial": 1.0},
    blocks=((1, "x"), (2, "y")),
)


def change(path: str, value: Any) -> dict[str, Any]:
    """The JSON of CONFIG with one value, at "a.b", replaced."""
    data = json.loads(json.dumps(to_dict(CONFIG)))
    part = data
    *parents, name = path.split(".")
    for parent in parents:
        part = part[parent]
    part[name] = value
    return data


def error_of(call, *arguments) -> str:
    """The message of the InputError that the call raises, which is one line."""
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# to_dict and from_dict


def test_json_and_back_is_the_same_config():
    data = json.loads(json.dumps(to_dict(CONFIG), allow_nan=False))
    assert from_dict(Config, data) == CONFIG
    assert isinstance(from_dict(Config, data).layers, tuple) and isinstance(from_dict(Config, data).blocks[0], tuple)
    assert "derived" not in data
    assert data["decoder"] == {"width": 8, "heads": 2} and data["limit"] is None


def test_to_dict_shares_nothing_with_the_config():
    data = to_dict(CONFIG)
    data["tags"].append("c")
    data["weights"]["new"] = 1.0
    assert CONFIG.tags == ["a", "b"] and "new" not in CONFIG.weights


def test_a_missing_key_takes_its_default_and_only_then():
    minimal = {"name": "tiny", "decoder": {"width": 8}}
    assert from_dict(Config, minimal) == Config(name="tiny", decoder=DecoderConfig(width=8))
    message = error_of(from_dict, Config, {"name": "tiny"})
    assert "lacks 'decoder'" in message and "name, decoder, optim" in message
    assert "Config.decoder lacks 'width'" in error_of(from_dict, Config, change("decoder", {"heads": 1}))


def test_unknown_keys_name_the_valid_ones_and_the_likely_one():
    message = error_of(from_dict, Config, change("optim.warmpu", 5))
    assert "Config.optim has no 'warmpu'" in message
    assert "did you mean 'warmup'" in message and "lr, betas, warmup, schedule" in message
    assert "did you mean" not in error_of(from_dict, Config, change("zzz", 5))
    assert "has no 'derived'" in error_of(from_dict, Config, change("derived", 7))
    assert "has no '3'" in error_of(from_dict, Config, {3: 1})


@pytest.mark.parametrize(
    "path,value,expected",
    [
        ("name", 5, "Config.name must be text, not 5"),
        ("name", None, "Config.name must be text, not None"),
        ("causal", 1, "Config.causal must be true or false, not 1"),
        ("decoder.width", 8.0, "Config.decoder.width must be a whole number, not 8.0"),
        ("decoder.width", True, "Config.decoder.width must be a whole number, not True"),
        ("decoder.width", "8", "Config.decoder.width must be a whole number, not '8'"),
        ("decoder", None, "Config.decoder must be the keys width, heads, not None"),
        ("decoder", [8], "Config.decoder must be the keys width, heads, not [8]"),
        ("second", {"width": 1, "hads": 1}, "Config.second has no 'hads'"),
        ("second", 3, "Config.second must be the keys width, heads or none, not 3"),
        ("optim.lr", "1e-3", "Config.optim.lr must be a number"),
        ("optim.lr", True, "Config.optim.lr must be a number"),
        ("optim.lr", math.nan, "Config.optim.lr must be a number, not nan"),
        ("optim.lr", math.inf, "Config.optim.lr must be a number, not inf"),
        ("optim.schedule", "linear", "Config.optim.schedule must be one of 'cosine', 'constant', 0, not 'linear'"),
        ("optim.schedule", False, "Config.optim.schedule must be one of"),
        ("optim.betas", [0.9], "Config.optim.betas must be a list of 2: a number, a number, not [0.9]"),
        ("optim.betas", 0.9, "Config.optim.betas must be a list of 2"),
        ("layers", [1, "2"], "Config.layers[1] must be a whole number, not '2'"),
        ("layers", "12", "Config.layers must be a list, each a whole number, not '12'"),
        ("tags", {"a": 1}, "Config.tags must be a list, each text"),
        ("weights", ["mel"], "Config.weights must be names, each with a number"),
        ("weights", {"mel": "x"}, "Config.weights.mel must be a number, not 'x'"),
        ("limit", "x", "Config.limit must be a whole number or none, not 'x'"),
        ("blocks", [[1]], "Config.blocks[0] must be a list of 2: a whole number, text, not [1]"),
        ("free", math.nan, "Config.free must be any JSON value, not nan"),
        ("decoder.heads", 3, "Config.decoder: width 8 is not a multiple of heads 3"),
        ("name", ["line\nbreak" * 50], "..."),
    ],
)
def test_wrong_values_are_told_with_their_key(path: str, value: Any, expected: str):
    assert expected in error_of(from_dict, Config, change(path, value))


@pytest.mark.parametrize("data", [None, [], "x", 3])
def test_a_config_must_be_named_values(data: Any):
    assert "Config must be the keys name, decoder" in error_of(from_dict, Config, data)


def test_a_whole_number_is_a_float_where_a_float_is_wanted():
    lr = from_dict(Config, change("optim.lr", 1)).optim.lr
    assert lr == 1.0 and type(lr) is float
    assert type(from_dict(Config, change("amount", 2)).amount) is int
    assert type(from_dict(Config, change("amount", 2.0)).amount) is float


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_to_dict_refuses_what_json_cannot_hold(value: float):
    with pytest.raises(ValueError, match=r"Config\.optim\.betas\[1\]"):
        to_dict(dataclasses.replace(CONFIG, optim=OptimConfig(betas=(0.9, value))))


@pytest.mark.parametrize("value", [object(), {1: 2}, {"a": {1, 2}}, b"x", OptimConfig])
def test_to_dict_refuses_other_objects(value: Any):
    with pytest.raises(TypeError, match=r"Config\.free"):
        to_dict(dataclasses.replace(CONFIG, free=value))


@pytest.mark.parametrize("value", [Config, {"name": "x"}, None])
def test_to_dict_takes_instances_of_dataclasses_only(value: Any):
    with pytest.raises(TypeError, match="instance of a dataclass"):
        to_dict(value)


def test_an_annotation_that_cannot_be_stored_is_our_mistake():
    @dataclass(frozen=True, kw_only=True)
    class Odd:
        callback: set[int]

    with pytest.raises(TypeError, match="cannot be annotated"):
        from_dict(Odd, {"callback": [1]})


# override


@pytest.mark.parametrize(
    "text,path,expected",
    [
        ("name=base", "name", "base"),
        ("name=123", "name", "123"),
        ("name=none", "name", "none"),
        ("name=a=b, c", "name", "a=b, c"),
        ('name={"a": 1}', "name", '{"a": 1}'),
        ("name=", "name", ""),
        ("causal=false", "causal", False),
        ("causal=True", "causal", True),
        ("optim.lr=1e-4", "optim.lr", 1e-4),
        ("optim.lr=.5", "optim.lr", 0.5),
        ("optim.lr=3", "optim.lr", 3.0),
        (" optim.warmup = 1e5 ", "optim.warmup", 100_000),
        ("optim.warmup=-3", "optim.warmup", -3),
        ("optim.warmup=123456789012345678901", "optim.warmup", 123456789012345678901),
        ("optim.schedule=constant", "optim.schedule", "constant"),
        ("optim.schedule=0", "optim.schedule", 0),
        ("optim.betas=0.8,0.9", "optim.betas", (0.8, 0.9)),
        ("optim.betas=[0, 0.9]", "optim.betas", (0.0, 0.9)),
        ("optim.betas=(0.1, 1)", "optim.betas", (0.1, 1.0)),
        ("layers=8", "layers", (8,)),
        ("layers=8,16,32", "layers", (8, 16, 32)),
        ("layers=", "layers", ()),
        ("layers=[]", "layers", ()),
        ("tags=x, y", "tags", ["x", "y"]),
        ("tags=1,2", "tags", ["1", "2"]),
        ('weights={"mel": 3}', "weights", {"mel": 3.0}),
        ('blocks=[[3, "z"]]', "blocks", ((3, "z"),)),
        ("limit=5", "limit", 5),
        ("limit=none", "limit", None),
        ("note=none", "note", None),
        ("note=12", "note", "12"),
        ("amount=2", "amount", 2),
        ("amount=2.5", "amount", 2.5),
        ("second=none", "second", None),
        ('second={"width": 6, "heads": 3}', "second", DecoderConfig(width=6, heads=3)),
        ("second.width=12", "second", DecoderConfig(width=12)),
        ("free=[1, null]", "free", [1, None]),
    ],
)
def test_override_reads_each_type(text: str, path: str, expected: Any):
    changed = override(CONFIG, [text])
    value: Any = changed
    for name in path.split("."):
        value = getattr(value, name)
    assert value == expected and type(value) is type(expected)
    assert from_dict(Config, to_dict(changed)) == changed


def test_override_leaves_the_original_and_the_rest():
    changed = override(CONFIG, ["optim.lr=1", "optim.lr=2", "optim.warmup=5"])
    assert changed == dataclasses.replace(CONFIG, optim=dataclasses.replace(CONFIG.optim, lr=2.0, warmup=5))
    assert CONFIG.optim == OptimConfig()
    assert override(CONFIG, []) == CONFIG


def test_changes_that_are_only_valid_together_are_made_together():
    changed = override(CONFIG, ["decoder.width=9", "decoder.heads=3"])
    assert changed.decoder == DecoderConfig(width=9, heads=3)
    assert "width 9 is not a multiple of heads 2" in error_of(override, CONFIG, ["decoder.width=9"])


@pytest.mark.parametrize(
    "text,expected",
    [
        ("optim.lr", "write key=value"),
        ("=5", "write key=value"),
        ("optim.lrr=1", "Config.optim has no 'lrr' (did you mean 'lr'?); its keys are lr, betas, warmup, schedule"),
        ("optimizer.lr=1", "Config has no 'optimizer' (did you mean 'optim'?)"),
        ("optim..lr=1", "Config.optim has no ''"),
        ("derived=1", "Config has no 'derived'"),
        ("optim.lr.x=1", "Config.optim.lr has no parts to set by name: it is 0.001"),
        ("limit.x=1", "Config.limit has no parts to set by name: it is None"),
        ("optim.lr=fast", "Config.optim.lr must be a number, not 'fast'"),
        ("optim.lr=nan", "Config.optim.lr must be a number, not 'nan'"),
        ("optim.lr=", "Config.optim.lr must be a number, not ''"),
        ("optim.warmup=1.5", "Config.optim.warmup must be a whole number, not '1.5'"),
        ("optim.warmup=inf", "Config.optim.warmup must be a whole number, not 'inf'"),
        ("causal=1", "Config.causal must be true or false, not '1'"),
        ("optim.betas=0.9", "Config.optim.betas must be a list of 2"),
        ("optim.betas=[0.9", "Config.optim.betas must be a list of 2"),
        ("optim.schedule=linear", "must be one of 'cosine', 'constant', 0, not 'linear'"),
        ("layers=1,x", "Config.layers must be a list, each a whole number, not '1,x'"),
        ("limit=none!", "Config.limit must be a whole number or none"),
        ("optim=fast", "Config.optim must be the keys lr, betas, warmup, schedule, not 'fast'"),
        ('optim={"rl": 1}', "Config.optim has no 'rl'"),
        ('second={"heads": 1}', "Config.second lacks 'width'"),
    ],
)
def test_wrong_overrides_are_told_with_their_key(text: str, expected: str):
    assert expected in error_of(override, CONFIG, [text])


@pytest.mark.parametrize("changes", [["optim.lr=1", 'optim={"lr": 2}'], ['optim={"lr": 2}', "optim.lr=1"]])
def test_a_whole_and_its_part_are_not_both_changed(changes: list[str]):
    assert "keep one of them" in error_of(override, CONFIG, changes)
