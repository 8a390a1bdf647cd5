// What both sides of BullMQ's queue agree on.

export const QUEUE = "orders";

const redis = new URL(process.env.ORDERS_BENCH_REDIS_URL);

export const connection = { host: redis.hostname, port: Number(redis.port), maxRetriesPerRequest: null };
