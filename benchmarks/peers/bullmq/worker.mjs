// A worker of BullMQ: one process, one pool of connections, CONCURRENCY jobs at a time, until SIGTERM.

import { Worker } from "bullmq";
import pg from "pg";

import { connection, QUEUE } from "./queue.mjs";

const CONCURRENCY = Number(process.argv[2]);

// The statement of benchmarks/contender.py, prepared; by itself it is a transaction.
const EXPIRE = {
  name: "expire",
  text: "UPDATE orders SET status = 'expired' WHERE id = $1 AND status = 'pending' AND expires_at <= statement_timestamp()",
};

const connectionString = process.env.ORDERS_BENCH_DATABASE_URL.replace("postgresql+psycopg:", "postgresql:");
const pool = new pg.Pool({ connectionString, max: Number(process.argv[3]) });

const worker = new Worker(QUEUE, async (job) => void (await pool.query({ ...EXPIRE, values: [job.data] })), {
  connection,
  concurrency: CONCURRENCY,
});
worker.on("error", console.error);
worker.on("failed", (_job, error) => console.error(error));

process.on("SIGTERM", async () => {
  await worker.close();
  await pool.end();
});
