"""``manage.py orders``: the verbs of the command line, on the project's model, database and Redis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from orders import cli
from orders.contrib.django.management.commands.orders import Command
from orders.embedded import free_port
from tests.contrib.django.shop.models import Order
from tests.contrib.django_admin.conftest import Site


@dataclass
class Ran:
    """What a command has said."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Runner:
    return Runner(capsys)


@dataclass
class Runner:
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Ran:
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            Command().run_from_argv(["manage.py", "orders", *arguments])
        status = ended.value.code
        out, err = self.capsys.readouterr()
        return Ran(int(status or 0), out, err)


def test_the_verbs_work_on_the_projects_model(site: Site, run: Runner) -> None:
    order_id = site.place(due=600)
    assert run("extend", order_id, "--timeout", "60").out == f"{order_id}: extended\n"
    assert json.loads(run("explain", order_id, "--json").out)["state"] == "pending"
    assert json.loads(run("list", "--json").out)["total"] == 1
    assert json.loads(run("stats", "--json").out)["scheduled"] == 1
    assert run("remove", order_id).out == f"{order_id}: removed\n"
    assert run("reconcile", "--all").out == "1 pending order seen, 1 scheduled\n"
    assert run("enqueue", order_id, "--expires-at", "2030-01-31T12:00:00Z").out.startswith(f"{order_id}: due 2030")
    assert run("check", order_id).out == f"{order_id}: pending\n"
    assert run("pay", order_id).out == f"{order_id}: accepted\n"
    assert Order.objects.get().status == "paid"


def test_a_sweep_expires_rows_of_the_model(site: Site, run: Runner) -> None:
    site.place(due=-60)
    assert run("sweep").out == "claimed 1  expired 1\n"
    assert Order.objects.get().status == "expired"


def test_dead_letters_are_listed_and_requeued(site: Site, run: Runner) -> None:
    site.bury("42", "43")
    assert [letter["order_id"] for letter in json.loads(run("dead", "list", "--json").out)] == ["42", "43"]
    assert run("dead", "requeue", "42").out == "1 requeued\n"
    assert run("dead", "drop", "--all").out == "1 dropped\n"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["explain", "x" * 300], 1),
        (["extend", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "--timeout", "60"], 1),
        (["enqueue"], 2),
        (["nothing"], 2),
        (["dead", "show", "42"], 1),
        (["dead", "requeue", "42"], 1),
        (["dead", "drop", "42"], 1),
        (["explain", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"], 1),
        (["check", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"], 1),
    ],
)
def test_statuses_are_those_of_the_command_line(
    site: Site, run: Runner, capsys: pytest.CaptureFixture[str], arguments: Sequence[str], status: int
) -> None:
    assert run(*arguments).status == status
    told = capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == status
    assert told.out == ""


@pytest.mark.parametrize(("verb", "instead"), [("init-db", "manage.py migrate"), ("up", "Celery"), ("demo", "`orders")])
def test_verbs_that_make_no_sense_say_what_to_do_instead(site: Site, run: Runner, verb: str, instead: str) -> None:
    ran = run(verb, "--orders", "5")
    assert ran.status == 1
    assert ran.err.startswith(f"error: `{verb}` is not available here: ")
    assert instead in ran.err
    listed = run("--help").out
    assert " reconcile " in listed
    assert f" {verb} " not in listed


def test_a_redis_that_is_down_is_an_error(site: Site, run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orders.process._current", None)
    url = f"redis://127.0.0.1:{free_port()}"
    monkeypatch.setattr(django_settings, "ORDERS", {**django_settings.ORDERS, "REDIS_URL": url})
    order_id = site.place(enqueue=False)
    for verb in ("enqueue", "remove", "stats"):
        ran = run(verb, *([] if verb == "stats" else [order_id]))
        assert (ran.status, ran.out) == (1, "")
        assert ran.err.startswith("error: Redis at ORDERS_REDIS_URL redis://127.0.0.1")


def test_a_wrong_setting_is_told_before_a_verb_starts(
    site: Site, run: Runner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(django_settings, "USE_TZ", False)
    ran = run("stats")
    assert (ran.status, ran.out) == (1, "")
    assert "order_expiry.E002" in ran.err
    with pytest.raises(SystemCheckError, match=r"order_expiry\.E002"):
        call_command("orders", "stats")
    assert "enqueue" in run("--help").out


def test_help_needs_no_settings(project: None, run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(django_settings, "ORDERS", {"MODEL": "shop.Nothing"})
    assert "reconcile" in run("--help").out
    assert "--timeout" in run("enqueue", "--help").out
    assert run().status == 2
    ran = run("stats")
    assert (ran.status, ran.out) == (1, "")
    assert "(order_expiry.E001) ORDERS['MODEL'] is 'shop.Nothing'" in ran.err


def test_a_program_may_call_it(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command("orders", "stats", "--json")
    assert not ended.value.code
    assert json.loads(capsys.readouterr().out)["scheduled"] == 0


def test_a_process_of_its_own(site: Site, database_url: str, tmp_path: Path) -> None:
    # given the manage.py of a project
    manage = tmp_path / "manage.py"
    manage.write_text(
        "import sys\nfrom django.core.management import execute_from_command_line as run\nrun(sys.argv)\n"
    )
    environment = {
        "SHOP_DATABASE_URL": database_url,
        "SHOP_REDIS_URL": django_settings.ORDERS["REDIS_URL"],
        "PYTHONPATH": os.fspath(Path(__file__).parents[3]),
    }
    project = "--settings=tests.contrib.django.shop.settings"

    def manage_py(*arguments: str) -> Ran:
        command = [sys.executable, os.fspath(manage), "orders", *arguments]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return Ran(ended.returncode, ended.stdout, ended.stderr)

    order_id = site.place(due=600)
    # then it helps, works, and fails as the command does
    helped = manage_py("--help", project)
    assert "manage.py orders [OPTIONS] COMMAND" in helped.out
    assert "reconcile" in helped.out
    assert json.loads(manage_py("explain", order_id, "--json", project).out)["state"] == "pending"
    wrong = manage_py(project, "explain", "")
    assert (wrong.status, wrong.out) == (1, "")
    assert wrong.err == "error: the order id is empty: it must have 1 to 255 characters\n"
