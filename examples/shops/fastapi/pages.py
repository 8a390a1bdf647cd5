"""What all pages share: templates, form fields and the customer."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qsl
from uuid import uuid4

from fastapi import Depends, Request, Response
from fastapi.templating import Jinja2Templates

import orders
from examples.shops.page import TEMPLATES, dress

_templates = Jinja2Templates(directory=TEMPLATES)
dress(_templates.env, framework="FastAPI", hold=lambda: orders.current().settings.timeout)


def render(request: Request, template: str, status_code: int = 200, **context: Any) -> Response:
    """Return a page."""
    return _templates.TemplateResponse(request, template, context, status_code=status_code)


async def _form(request: Request) -> dict[str, str]:
    # FastAPI's Form() needs an extra package for file uploads, which these forms do not have.
    return dict(parse_qsl((await request.body()).decode()))


def _customer(request: Request) -> str:
    customer: str = request.session.setdefault("customer", uuid4().hex)
    return customer


FormFields = Annotated[dict[str, str], Depends(_form)]
Customer = Annotated[str, Depends(_customer)]
