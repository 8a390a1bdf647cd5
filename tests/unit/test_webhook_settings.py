"""The settings of webhooks: endpoints, secrets, and what messages show of them."""

from __future__ import annotations

import pytest

from orders.config import Settings, mask
from orders.errors import ConfigError

SECRET, OTHER = "whsec_" + "QUJD" * 11, "whsec_" + "REVG" * 8


def secrets(settings: Settings) -> dict[str, list[str]]:
    return {each.name: [secret.get_secret_value() for secret in each.secrets] for each in settings.webhooks}


def test_endpoints_have_names_and_secrets() -> None:
    settings = Settings.of(
        {
            "WEBHOOK_URL": "https://erp.example.com/hooks?x=1, https://crm.example.com:8443/,\n shop=http://10.0.0.5/hook",
            "WEBHOOK_SECRET": f"{SECRET} shop={OTHER} shop={SECRET}",
            "WEBHOOK_ALLOW": "10.0.0.0/8, ERP.internal",
        }
    )
    assert secrets(settings) == {
        "erp.example.com": [SECRET],
        "crm.example.com:8443": [SECRET],
        "shop": [OTHER, SECRET],
    }
    assert [each.origin for each in settings.webhooks] == [
        "https://erp.example.com",
        "https://crm.example.com:8443",
        "http://10.0.0.5",
    ]
    assert settings.allowed_hosts == {"erp.internal"}
    assert list(map(str, settings.allowed_networks)) == ["10.0.0.0/8"]


def test_a_framework_may_give_lists() -> None:
    settings = Settings.of({"WEBHOOK_URL": ["https://a.example.com/"], "WEBHOOK_SECRET": [SECRET, OTHER]})
    assert secrets(settings) == {"a.example.com": [SECRET, OTHER]}


@pytest.mark.parametrize(
    "url",
    [
        *(
            "erp.example.com/token",
            "ftp://erp.example.com/token",
            "https:///token",
            "https://erp.example.com/token#part",
        ),
        *("https://user:token@erp.example.com/", "https://x:99999/token"),
        *("https://erp.example.com/token https://erp.example.com/b", "erp=https://a/token ERP=https://b"),
        *("https://bücher.example/token", f"https://{'a' * 70}.example.com/token", f"https://a/token{'x' * 2048}"),
    ],
)
def test_a_wrong_url_is_rejected_and_its_path_is_hidden(url: str) -> None:
    with pytest.raises(ConfigError, match=r"ORDERS_WEBHOOK_URL is .*: it must be URLs, separated by commas") as error:
        Settings(webhook_url=url, webhook_secret=SECRET)
    assert "token" not in str(error.value)


@pytest.mark.parametrize("secret", ["token", "whsec_token", "whsec_" + "QUJD" * 7 + "token", "whsec_" + "QUJD" * 22])
def test_a_wrong_secret_is_rejected_and_hidden(secret: str) -> None:
    with pytest.raises(ConfigError, match=r"ORDERS_WEBHOOK_SECRET is \*\*\*: it must be secrets") as error:
        Settings(webhook_url="https://erp.example.com", webhook_secret=secret)
    assert secret not in str(error.value).replace("whsec_ and", "")


def test_settings_must_agree() -> None:
    with pytest.raises(ConfigError, match="has the endpoint 'a', and ORDERS_WEBHOOK_SECRET has no secret for it"):
        Settings(webhook_url="a=https://a.example.com b=https://b.example.com", webhook_secret=f"b={SECRET}")
    with pytest.raises(ConfigError, match=r"has a secret for 'c': the endpoints in ORDERS_WEBHOOK_URL are a$"):
        Settings(webhook_url="a=https://a.example.com", webhook_secret=f"{SECRET} c={SECRET}")
    with pytest.raises(ConfigError, match="the endpoint 'a' with http: it must be https, or ORDERS_WEBHOOK_ALLOW"):
        Settings(webhook_url="a=http://a.example.com", webhook_secret=SECRET)
    with pytest.raises(ConfigError, match="ORDERS_WEBHOOK_ALLOW is 'a b:99': it must be names of hosts"):
        Settings(webhook_allow="a b:99")


def test_secrets_are_masked() -> None:
    settings = Settings(webhook_url="https://erp.example.com/token", webhook_secret=SECRET)
    for shown in (repr(settings), repr(settings.webhooks), str(settings.model_dump(mode="json")["webhook_secret"])):
        assert SECRET not in shown
    assert "token" not in repr(settings) + repr(settings.webhooks)
    assert mask(f"it said {SECRET}, and no more") == "it said whsec_***, and no more"
