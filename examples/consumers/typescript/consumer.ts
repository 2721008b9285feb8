// Keeps the table `users` in step with the directory: bootstraps from the state topic, then follows the event topic.
//
// Usage: node dist/consumer.js BOOTSTRAP_SERVERS PREFIX DATABASE_URL GROUP_ID
//
// kafkajs gives partitions to members of a group only. The group belongs to this application alone; its offsets are in
// the database.

import { CloudEvent, Kafka as CloudEvents } from "cloudevents";
import { Kafka, logLevel, type Consumer, type EachBatchPayload, type KafkaMessage } from "kafkajs";
import pg from "pg";

import type { User, UserEvent } from "./generated/user.js";
import type { CurrentUser, UserState } from "./generated/user-state.js";

// How soon the group gives the partitions of a killed process to the next one.
const SESSION = { sessionTimeout: 6000, heartbeatInterval: 2000 };
const SEVEN_DAYS = 7 * 24 * 60 * 60 * 1000;

// Column, path and value of the fields in the table. undefined: absent; null: cleared.
const COLUMNS: [string, string, (user: User | CurrentUser) => unknown][] = [
  ["username", "username", (user) => user.username],
  ["display_name", "displayName", (user) => user.displayName],
  ["status", "status", (user) => user.status],
  ["email", "email.address", (user) => user.email?.address],
  ["email_verified", "email.verified", (user) => user.email?.verified],
  ["phone_region", "phone.region", (user) => user.phone?.region],
  ["phone_number", "phone.number", (user) => user.phone?.number],
  ["organizational_units", "organizationalUnits", unitIds],
  ["account_expires_at", "accountExpiresAt", (user) => user.accountExpiresAt],
];

function unitIds({ organizationalUnits: units }: User | CurrentUser) {
  return units && units.map(({ id }) => id);
}

// The merge rules, in SQL.
class Table {
  constructor(readonly database: pg.Client) {}

  async transaction(work: () => Promise<void>) {
    await this.database.query("BEGIN");
    try {
      await work();
      await this.database.query("COMMIT");
    } catch (error) {
      await this.database.query("ROLLBACK");
      throw error;
    }
  }

  // Records the time of an event, and creates the user if it is new. Returns false if the user was deleted at that time
  // or later.
  async upsert(id: string, time: string) {
    const { rowCount } = await this.database.query(
      `INSERT INTO users (id, last_event_time) SELECT $1, $2::timestamptz
       WHERE NOT EXISTS (SELECT FROM deleted_users WHERE id = $1 AND deleted_at >= $2)
       ON CONFLICT (id) DO UPDATE SET last_event_time = greatest(users.last_event_time, EXCLUDED.last_event_time)`,
      [id, time],
    );
    return rowCount === 1;
  }

  // Sets the fields that the record carries, unless a newer event has set them: the last writer wins, by the time of
  // the event.
  async set(user: User | CurrentUser, time: (path: string) => string) {
    for (const [column, path, get] of COLUMNS) {
      const value = get(user);
      if (value === undefined) continue;
      await this.database.query(
        `UPDATE users SET ${column} = $2, field_times = field_times || jsonb_build_object('${column}', $3::timestamptz)
         WHERE id = $1 AND coalesce((field_times ->> '${column}')::timestamptz, '-infinity') <= $3`,
        [user.id, value, time(path)],
      );
    }
  }

  // Deletes a user and remembers it, unless something newer is known.
  async delete(id: string, time: string) {
    await this.database.query("DELETE FROM users WHERE id = $1 AND last_event_time <= $2", [id, time]);
    await this.database.query(
      `INSERT INTO deleted_users SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM users WHERE id = $1)
       ON CONFLICT (id) DO UPDATE SET deleted_at = greatest(deleted_users.deleted_at, EXCLUDED.deleted_at)`,
      [id, time],
    );
  }

  // Records the identity of an event. Returns false if the event was applied before.
  async isNew({ source, id }: CloudEvent<unknown>) {
    const insert = "INSERT INTO applied_events (source, id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    return (await this.database.query(insert, [source, id])).rowCount === 1;
  }

  // Forgets deletions and identities after seven days.
  async forget() {
    await this.database.query("DELETE FROM deleted_users WHERE deleted_at < now() - interval '7 days'");
    await this.database.query("DELETE FROM applied_events WHERE applied_at < now() - interval '7 days'");
  }

  async storeOffset(partition: number, offset: bigint) {
    await this.database.query(
      `INSERT INTO event_offsets VALUES ($1, $2)
       ON CONFLICT (partition_id) DO UPDATE SET next_offset = EXCLUDED.next_offset`,
      [partition, offset.toString()],
    );
  }

  async offsets() {
    const { rows } = await this.database.query("SELECT partition_id, next_offset FROM event_offsets");
    return new Map<number, bigint>(rows.map((row) => [row.partition_id, BigInt(row.next_offset)]));
  }
}

// Applies a record of the state topic. A record without a value is a deletion.
async function applyState(table: Table, { key, value, headers }: KafkaMessage) {
  if (value === null) return table.delete(key!.toString(), headers!.ce_time!.toString());
  const { user, state } = JSON.parse(value.toString()) as UserState;
  if (state.lastDeletionTime) await table.delete(user.id, state.lastDeletionTime);
  await table.upsert(user.id, state.lastEventTime);
  await table.set(user, (path) => (state.fieldTimes?.[path] as string | undefined) ?? state.lastEventTime);
}

// Applies a record of the event topic.
async function applyEvent(table: Table, { key, value, headers, timestamp }: KafkaMessage) {
  const texts = Object.fromEntries(Object.entries(headers ?? {}).map(([name, text]) => [name, String(text)]));
  const message = { key: key!, value: value!.toString(), headers: texts, body: undefined };
  const structured = texts["content-type"]?.startsWith("application/cloudevents+json");
  // The SDK's binding fails on a structured event without a time.
  const event = (
    structured ? new CloudEvent(JSON.parse(message.value), false) : CloudEvents.toEvent(message)
  ) as CloudEvent<UserEvent>;
  const { action, user, origin } = event.data!;
  // Equal to ce_time. If there is none, the SDK would give the current time.
  const time = origin.eventTime ?? new Date(Number(timestamp)).toISOString();
  if (!(await table.isNew(event))) return;
  if (action === "deleted") return table.delete(user.id, time);
  if ((action === "enabled" || action === "disabled") && user.status === undefined) user.status = action;
  if (await table.upsert(user.id, time)) await table.set(user, () => time);
}

// Runs a consumer from these offsets on. Resolves when it has joined its group; a failure ends the process.
async function run(
  consumer: Consumer,
  topic: string,
  offsets: Map<number, bigint>,
  eachBatch: (payload: EachBatchPayload) => Promise<void>,
) {
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  // Seek each time that the group gives partitions to this consumer.
  consumer.on(consumer.events.GROUP_JOIN, () => {
    for (const [partition, offset] of offsets) consumer.seek({ topic, partition, offset: offset.toString() });
  });
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    console.error(payload.error);
    process.exit(1);
  });
  await consumer.run({ autoCommit: false, eachBatch });
}

// Fills the tables from the state topic, in one transaction with the offsets at which to follow the events.
async function bootstrap(kafka: Kafka, table: Table, states: string, events: string, groupId: string) {
  const admin = kafka.admin();
  await admin.connect();
  // Events of the last seven days. Those that the state includes change nothing.
  const ends = new Map((await admin.fetchTopicOffsets(events)).map(({ partition, high }) => [partition, BigInt(high)]));
  const starts = await admin.fetchTopicOffsetsByTimestamp(events, Date.now() - SEVEN_DAYS);
  const stateOffsets = await admin.fetchTopicOffsets(states);
  const filled = stateOffsets.filter(({ low, high }) => low !== high);
  const unread = new Map(filled.map(({ partition, high }) => [partition, BigInt(high)]));
  await admin.disconnect();
  await table.transaction(async () => {
    await table.database.query("TRUNCATE users, deleted_users, applied_events");
    for (const { partition, offset } of starts) {
      const [start, end] = [BigInt(offset), ends.get(partition)!];
      await table.storeOffset(partition, start < end ? start : end);
    }
    if (unread.size === 0) return;
    const consumer = kafka.consumer({ groupId, ...SESSION });
    await new Promise<void>((resolve, reject) => {
      // Also tells the ends of transactions and aborted records, which are not in a batch's messages.
      consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload: { partition, lastOffset } }) => {
        const end = unread.get(partition);
        if (end !== undefined && BigInt(lastOffset) + 1n >= end) unread.delete(partition);
        if (unread.size === 0) resolve();
      });
      const begin = new Map(filled.map(({ partition, low }) => [partition, BigInt(low)]));
      run(consumer, states, begin, async ({ batch, heartbeat }) => {
        for (const message of batch.messages) {
          await applyState(table, message);
          await heartbeat();
        }
      }).catch(reject);
    });
    await consumer.disconnect();
  });
}

// Applies events without end. A transaction has the events and their offsets.
async function follow(kafka: Kafka, table: Table, events: string, groupId: string) {
  const offsets = await table.offsets();
  const admin = kafka.admin();
  await admin.connect();
  for (const { partition, low } of await admin.fetchTopicOffsets(events)) {
    if ((offsets.get(partition) ?? 0n) < BigInt(low)) throw new Error("events are lost: bootstrap again");
  }
  await admin.disconnect();
  const consumer = kafka.consumer({ groupId, ...SESSION });
  await run(consumer, events, offsets, async ({ batch, heartbeat }) => {
    const next = BigInt(batch.lastOffset()) + 1n;
    await table.transaction(async () => {
      for (const message of batch.messages) {
        await applyEvent(table, message);
        // Without it, a batch that takes longer than the session timeout is given to another member, again and again.
        await heartbeat();
      }
      await table.storeOffset(batch.partition, next);
      await table.forget();
    });
    offsets.set(batch.partition, next);
  });
}

const [servers, prefix, url, groupId] = process.argv.slice(2);
const database = new pg.Client(url);
await database.connect();
// One process at a time; others wait. The lock ends with the connection that writes.
await database.query("SELECT pg_advisory_lock(hashtext('users'))");
const table = new Table(database);
// kafkajs reads only what is committed, unless told otherwise.
const kafka = new Kafka({ brokers: servers.split(","), logLevel: logLevel.WARN });
if ((await table.offsets()).size === 0) {
  await bootstrap(kafka, table, `${prefix}.user.state.v1`, `${prefix}.user.v1`, groupId);
  console.log("bootstrapped");
}
await follow(kafka, table, `${prefix}.user.v1`, groupId);
