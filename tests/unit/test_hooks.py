"""Where hooks are found, and how many of a kind there may be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from typing import Any

import pytest

from orders import hooks
from orders.errors import ConfigError
from orders.hook_checks import ARGUMENTS
from orders.hooks import Hooks


def test_hooks_are_found_by_their_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "found_hooks.py").write_text("FOUND = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    hooks.load(["found_hooks"])


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (None, "ModuleNotFoundError: No module named 'broken_hooks'"),
        ("import no_such_library", "No module named 'no_such_library'"),
        ("1 / 0", "ZeroDivisionError"),
    ],
    ids=["missing", "needs another", "fails"],
)
def test_a_module_that_cannot_be_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str | None, told: str
) -> None:
    if source is not None:
        (tmp_path / "broken_hooks.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=rf"ORDERS_HOOKS names 'broken_hooks', but importing it failed: .*{told}"):
        hooks.load(["broken_hooks"])


@pytest.mark.parametrize("decorator", ["guard", "on_late_payment", "deadline_rule"])
def test_there_is_one_guard_one_policy_and_one_rule(decorator: str) -> None:
    registered = Hooks()

    def first(*_: object) -> Any: ...

    def second(*_: object) -> Any: ...

    getattr(registered, decorator)(first)
    getattr(registered, decorator)(first)
    with pytest.raises(
        ConfigError, match=rf"@orders.{decorator} takes one function: .*first is already registered, so .*second"
    ):
        getattr(registered, decorator)(second)


def plain(session: Any, order_ids: Any) -> None:
    got.append({})


def by_name(session: Any, order_ids: Any, *, again: Any = None) -> None:
    got.append({"again": again})


def by_position(session: Any, order_ids: Any, again: Any = None, other: int = 7) -> None:
    got.append({"again": again, "other": other})


class Method:
    __hash__ = None  # type: ignore[assignment]  # a hook need not be hashable

    def __call__(self, session: Any, order_ids: Any, *, again: Any) -> None:
        got.append({"again": again})


got: list[dict[str, object]] = []


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        (plain, {}),
        (by_name, {"again": {1}}),
        (by_position, {"again": {1}, "other": 7}),
        (Method(), {"again": {1}}),
        (partial(by_name, again="bound"), {"again": {1}}),
        (lambda session, order_ids, **_: got.append({}), {}),
    ],
)
def test_a_hook_gets_those_details_that_it_has_a_parameter_for(hook: Any, expected: dict[str, object]) -> None:
    got.clear()
    hooks.call_expire_hook(hook, "session", [1, 2], again={1}, reason="unknown to all of them")
    assert got == [expected]


def test_a_hook_that_is_written_in_c_gets_none() -> None:
    hook: Any = max
    hooks.call_expire_hook(hook, "session", "ids", again={1})


async def _async(*_: object) -> None: ...


async def _async_generator(*_: object) -> AsyncIterator[None]:
    yield


def _generator(*_: object) -> Iterator[None]:
    yield


class _Handler:
    def __init__(self, *_: object) -> None: ...

    async def __call__(self, *_: object) -> None: ...

    async def method(self, *_: object) -> None: ...

    def plain(self, *_: object) -> None: ...


@pytest.mark.parametrize("decorator", ARGUMENTS)
@pytest.mark.parametrize(
    ("function", "told"),
    [
        (_async, "_async, an async function, which nobody would await"),
        (_async_generator, "_async_generator, an async function"),
        (_generator, "_generator, a generator, whose code would never run"),
        (partial(_async, 1), "an async function"),
        (partial(partial(_Handler(), 1), 2), "an async function"),
        (_Handler(), "an async function"),
        (_Handler().method, "_Handler.method, an async function"),
        (_Handler, "_Handler, which is a class"),
        (partial(_Handler, 1), "which is a class"),
        (None, "None, which is not callable"),
        ("myshop.release", "'myshop.release', which is not callable"),
        (lambda: None, "which takes ()"),
        (lambda one, two, three: None, "which takes (one, two, three)"),
        (lambda *, session: None, "which takes (*, session)"),
    ],
)
def test_what_would_do_nothing_as_a_hook_is_rejected(decorator: str, function: Any, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        getattr(Hooks(), decorator)(function)
    assert f"@orders.{decorator} was given " in str(caught.value)
    assert told in str(caught.value)
    assert f"it must be a plain function that takes ({', '.join(ARGUMENTS[decorator])})" in str(caught.value)


def _wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that looks as if it took what *function* takes, as ``asgiref.sync.async_to_sync`` does."""

    @wraps(function)
    def call(*arguments: object) -> Any: ...

    return call


@pytest.mark.parametrize("decorator", ARGUMENTS)
@pytest.mark.parametrize(
    "function",
    [
        lambda *_: None,
        lambda *_, **__: None,
        lambda one, two=None, *, three=None: None,
        _Handler().plain,
        partial(lambda *_: None, 1),
        _wrapped(_async),
        _wrapped(lambda gateway, one, two, three: None),
        max,
    ],
)
def test_what_takes_the_arguments_is_a_hook(decorator: str, function: Any) -> None:
    assert getattr(Hooks(), decorator)(function) is function


@pytest.mark.parametrize(
    "function",
    [
        lambda session, order_ids, reason: None,
        lambda session, order_ids, *, again: None,
        lambda session, order_ids, *, reason, again=False: None,
    ],
)
def test_a_hook_may_ask_why_orders_expire(function: Any) -> None:
    assert Hooks().on_expire(function) is function
    with pytest.raises(ConfigError, match=r"@orders.on_late_payment was given .*, which takes"):
        Hooks().on_late_payment(function)
