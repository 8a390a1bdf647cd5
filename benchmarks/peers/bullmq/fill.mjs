// Add one job for each of the ids 1 to the number that is given.

import { Queue } from "bullmq";

import { connection, QUEUE } from "./queue.mjs";

const CHUNK = 1000;
const orders = Number(process.argv[2]);

const queue = new Queue(QUEUE, { connection, defaultJobOptions: { removeOnComplete: true } });
for (let first = 1; first <= orders; first += CHUNK) {
  const length = Math.min(CHUNK, orders - first + 1);
  await queue.addBulk(Array.from({ length }, (_, number) => ({ name: "expire", data: first + number })));
}
await queue.close();
