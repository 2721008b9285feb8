-- The tables of the example consumers. All of them are written in one transaction with the offsets of the events, so a
-- consumer that is killed at any moment neither loses an event nor applies one twice.

-- The columns that this application needs; the records have more.
CREATE TABLE users (
    id                   text PRIMARY KEY,
    username             text,
    display_name         text,
    status               text,
    email                text,
    email_verified       boolean,
    phone_region         text,
    phone_number         text,
    organizational_units text[],                      -- ids
    account_expires_at   timestamptz,
    last_event_time      timestamptz NOT NULL,
    field_times          jsonb NOT NULL DEFAULT '{}'  -- column: time of the event that set it
);

-- Deletions of the last seven days: an older event does not bring the user back.
CREATE TABLE deleted_users (
    id         text PRIMARY KEY,
    deleted_at timestamptz NOT NULL
);

-- Identities of the events of the last seven days.
CREATE TABLE applied_events (
    source     text,
    id         text,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, id)
);

-- The next event to read, by partition of the event topic. Empty: bootstrap from the state topic.
CREATE TABLE event_offsets (
    partition_id integer PRIMARY KEY,
    next_offset  bigint NOT NULL
);

CREATE INDEX ON deleted_users (deleted_at);
CREATE INDEX ON applied_events (applied_at);
