# One image for the worker, beat and Flower, with a command for each. Build with `docker build -t order-expiry .`
FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements/image.txt requirements/
RUN python -m venv /app && /app/bin/pip install --no-cache-dir --require-hashes -r requirements/image.txt
COPY pyproject.toml README.md LICENSE celeryconfig.py hatch_build.py orders_command.py ./
COPY orders orders
COPY tasks tasks
RUN /app/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1
COPY --from=build /app /app
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin orders
WORKDIR /tmp
USER 10001
CMD ["celery", "-A", "tasks", "worker", "--loglevel=INFO"]
