"""Modules in the working directory that hide ours: Celery and ``manage.py`` import from there first."""

from __future__ import annotations

from pathlib import Path


def what_hides(package: str) -> str | None:
    """Return which module in the working directory hides a package of this distribution, and what to do; None if none.

    Args:
        package: the name of a top-level package, such as ``tasks``.
    """
    ours = Path(__file__).parents[2] / package / "__init__.py"
    candidates = (Path.cwd() / package / "__init__.py", Path.cwd() / f"{package}.py")
    found = next((path for path in candidates if path.is_file()), None)
    if found is None or found.resolve() == ours.resolve():
        return None
    return (
        f"{found} hides the package {package} of order-expiry from processes that start in this directory. Rename it, "
        f"start them in another directory, or use order_expiry.{package}."
    )
