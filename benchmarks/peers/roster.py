"""The peers, their settings, and where their own documentation recommends them.

Where the documentation leaves the number of workers or threads open, we use the number that was fastest on 2 cores. No
peer writes a log line per job, and none keeps results. Orders are due when they are queued, so no queue has to delay a
job. Celery and APScheduler, whose jobs for this are always delayed, get the deadline; the others get a plain job.
"""

from __future__ import annotations

from benchmarks.peers.bullmq_peer import BullMQ
from benchmarks.peers.peer import Peer, PeerApart

_HERE = __package__

HUEY = Peer(
    name="Huey",
    package="huey",
    module="huey_peer",
    workers=(f"-m huey.bin.huey_consumer {_HERE}.huey_peer.huey --quiet --no-periodic -k process -w 4",),
    note=(
        "RedisHuey, blocking pops, results=False; one consumer with 4 worker processes, 2 for each core, no periodic "
        "tasks: https://huey.readthedocs.io/en/latest/consumer.html#options-for-the-consumer. It takes a task off the "
        "queue before it runs it, so one that a killed worker had is lost. Enqueued one by one: it has no other way."
    ),
)

DRAMATIQ = Peer(
    name="Dramatiq",
    package="dramatiq",
    module="dramatiq_peer",
    workers=(f"-m dramatiq {_HERE}.dramatiq_peer --processes 2 --threads 8",),
    note=(
        "RedisBroker with its default middleware, no results; a process for each core with 8 threads, as the guide "
        "starts it: https://dramatiq.io/guide.html#workers; each process prefetches twice its threads. Sent one by "
        "one: a group does no other."
    ),
)

RQ = Peer(
    name="RQ",
    package="rq",
    module="rq_peer",
    workers=(
        f"-m rq.cli worker-pool --config {_HERE}.rq_peer --quiet --worker-class rq.worker.SimpleWorker --num-workers 4",
    ),
    note=(
        "A pool of 4 SimpleWorkers, which do not fork for each job and which its notes on performance name for jobs of "
        "a few milliseconds: https://github.com/rq/rq/blob/master/docs/benchmark.md, "
        "https://python-rq.org/docs/workers/#worker-pool; result_ttl=0: https://python-rq.org/docs/results/. "
        "Enqueued with enqueue_many."
    ),
)

ARQ = PeerApart(
    name="arq",
    package="arq",
    module="arq_peer",
    workers=(f"-m arq {_HERE}.arq_peer.WorkerSettings --custom-log-dict {_HERE}.arq_peer.QUIET",) * 2,
    note=(
        "A worker for each core, jobs in 4 threads of each, as blocking code has to be: "
        "https://arq-docs.helpmanual.io/#synchronous-jobs; keep_result=0, max_jobs=100, poll_delay=0.01 s: "
        "https://arq-docs.helpmanual.io/#arq.worker.Worker (with the 10 jobs and 0.5 s of its defaults it takes a "
        "third as many). Needs redis-py older than 6, hence an environment of its own."
    ),
    environment=".venv-bench-arq",
    variable="ORDERS_BENCH_ARQ_PYTHON",
)

CELERY = Peer(
    name="Celery, eta",
    package="celery",
    module="celery_peer",
    workers=tuple(
        f"-m celery --app {_HERE}.celery_peer worker --concurrency 2 --hostname {name}@%h" for name in ("one", "two")
    ),
    note=(
        "apply_async(eta=deadline) on the Redis transport, acknowledged as by default; two workers of 2 processes, "
        "prefork: https://docs.celeryq.dev/en/stable/userguide/workers.html#concurrency; "
        "worker_prefetch_multiplier=128: https://docs.celeryq.dev/en/stable/userguide/optimizing.html#prefetch-limits; "
        "results ignored, events off. Whatever the limit, a worker takes every delayed task into its memory."
    ),
)

_PROCRASTINATE_WORKERS = (
    f"-m procrastinate --log-level warning --app {_HERE}.procrastinate_peer.app worker --concurrency 8 "
    "--delete-jobs successful"
)
PROCRASTINATE = Peer(
    name="Procrastinate",
    package="procrastinate",
    module="procrastinate_peer",
    workers=(_PROCRASTINATE_WORKERS,) * 2,
    note=(
        "Its queue is in the database of the orders. A worker for each core, each with 8 jobs at a time and 9 "
        "connections: https://procrastinate.readthedocs.io/en/stable/howto/production/concurrency.html, "
        "https://procrastinate.readthedocs.io/en/stable/discussions.html#mind-the-size-of-your-postgresql-pool; jobs "
        "deleted when they are done: "
        "https://procrastinate.readthedocs.io/en/stable/howto/production/delete_finished_jobs.html. Deferred with "
        "batch_defer; its tables are analyzed before it starts."
    ),
)

APSCHEDULER = Peer(
    name="APScheduler",
    package="apscheduler",
    module="apscheduler_peer",
    workers=(f"-m {_HERE}.apscheduler_peer",),
    note=(
        "A date job per order; one process, since a job store cannot be shared, with the default thread pool of 10, "
        "misfire_grace_time=None: https://apscheduler.readthedocs.io/en/3.x/userguide.html. RedisJobStore; with "
        "SQLAlchemyJobStore on PostgreSQL, which the guide prefers for its durability, it does 0.6 times as many. It "
        "loads all that is due at once, and removes a job before it has run: one that was begun or waited in a killed "
        "process is lost."
    ),
)

PGQUEUER = Peer(
    name="PGQueuer",
    package="pgqueuer",
    module="pgqueuer_peer",
    workers=(f"-m {_HERE}.pgqueuer_peer",) * 2,
    note=(
        "Its queue is in the database of the orders, with its default durability. A worker for each core: "
        "https://janbjorge.github.io/pgqueuer/guides/deployment/; asyncpg, the faster driver, and a single connection "
        "for the queue, a larger batch_size for short jobs (50), autovacuum as it recommends: "
        "https://janbjorge.github.io/pgqueuer/guides/performance-tuning/. Jobs are coroutines, with SQLAlchemy's "
        "asyncio and asyncpg, on uvloop, which `pgq run` takes; started by `run`, since that command fails with the "
        "current Typer. Enqueued in bulk; its tables are analyzed before it starts."
    ),
)

VTASKS = PeerApart(
    name="django-vtasks",
    package="django-vtasks",
    module="vtasks_peer",
    workers=(f"-m django runworker --settings {_HERE}.vtasks_settings --concurrency 20",) * 2,
    note=(
        "Its Valkey backend, which is faster than its database backend: https://gitlab.com/glitchtip/django-vtasks; a "
        "worker for each core with its default of 20 tasks at a time; tasks are coroutines, with SQLAlchemy's asyncio "
        "and asyncpg, on uvloop, which the worker takes if it is installed. No batch queue, which would run many "
        "orders in one task, and which loses them with a worker that is killed. Enqueued with aenqueue_many. Needs "
        "Python 3.12 and Django 6, hence an environment of its own."
    ),
    environment=".venv-bench-vtasks",
    variable="ORDERS_BENCH_VTASKS_PYTHON",
)

BULLMQ = BullMQ()

PEERS = (HUEY, DRAMATIQ, APSCHEDULER, CELERY, ARQ, RQ, PROCRASTINATE, PGQUEUER, VTASKS, BULLMQ)
"""The order in the tables."""
