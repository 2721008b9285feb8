// Keeps the table users in step with the directory: bootstraps from the state topic, then follows the event topic.
//
// Usage: consumer BOOTSTRAP_SERVERS PREFIX DATABASE_URL
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"users-consumer/user"
	"users-consumer/userstate"
)

//go:generate mkdir -p user userstate
//go:generate go tool go-jsonschema --package user --tags json --struct-name-from-title --output user/user.go ../../../schemas/user.schema.json
//go:generate go tool go-jsonschema --package userstate --tags json --struct-name-from-title --output userstate/userstate.go ../../../schemas/user-state.schema.json

// columns has column, path and value of the fields in the table. nil: absent or null.
var columns = []struct {
	name, path string
	value      func(user.User) any
}{
	{"username", "username", func(u user.User) any { return value(u.Username) }},
	{"display_name", "displayName", func(u user.User) any { return value(u.DisplayName) }},
	{"status", "status", func(u user.User) any { return value(u.Status) }},
	{"email", "email.address", func(u user.User) any { return value(u.Email.Address) }},
	{"email_verified", "email.verified", func(u user.User) any { return value(u.Email.Verified) }},
	{"phone_region", "phone.region", func(u user.User) any { return value(u.Phone.Region) }},
	{"phone_number", "phone.number", func(u user.User) any { return value(u.Phone.Number) }},
	{"organizational_units", "organizationalUnits", unitIDs},
	{"account_expires_at", "accountExpiresAt", func(u user.User) any { return value(u.AccountExpiresAt) }},
}

func value[P ~*T, T any](pointer P) any {
	if pointer == nil {
		return nil
	}
	return *pointer
}

func unitIDs(u user.User) any {
	if u.OrganizationalUnits == nil {
		return nil
	}
	ids := []*string{}
	for _, unit := range *u.OrganizationalUnits {
		ids = append(ids, unit.Id)
	}
	return ids
}

// table has the merge rules, in SQL.
type table struct{ pgx.Tx }

// upsert records the time of an event, and creates the user if it is new. It returns false if the user was deleted at
// that time or later.
func (t table) upsert(ctx context.Context, id string, at time.Time) (bool, error) {
	tag, err := t.Exec(ctx, `INSERT INTO users (id, last_event_time) SELECT $1, $2::timestamptz
		WHERE NOT EXISTS (SELECT FROM deleted_users WHERE id = $1 AND deleted_at >= $2)
		ON CONFLICT (id) DO UPDATE SET last_event_time = greatest(users.last_event_time, EXCLUDED.last_event_time)`,
		id, at)
	return tag.RowsAffected() == 1, err
}

// set sets the fields that the record carries, and clears those that are null in it, unless a newer event has set them:
// the last writer wins, by the time of the event.
func (t table) set(ctx context.Context, u user.User, cleared []string, at func(path string) (time.Time, error)) error {
	if u.Email == nil {
		u.Email = &user.Email{}
	}
	if u.Phone == nil {
		u.Phone = &user.Phone{}
	}
	for _, column := range columns {
		value := column.value(u)
		if value == nil && !slices.Contains(cleared, column.path) {
			continue // absent
		}
		set, err := at(column.path)
		if err != nil {
			return err
		}
		_, err = t.Exec(ctx, strings.ReplaceAll(`UPDATE users
			SET COLUMN = $2, field_times = field_times || jsonb_build_object('COLUMN', $3::timestamptz)
			WHERE id = $1 AND coalesce((field_times ->> 'COLUMN')::timestamptz, '-infinity') <= $3`, "COLUMN", column.name),
			u.Id, value, set)
		if err != nil {
			return err
		}
	}
	return nil
}

// delete deletes a user and remembers it, unless something newer is known.
func (t table) delete(ctx context.Context, id string, at time.Time) error {
	_, err := t.Exec(ctx, "DELETE FROM users WHERE id = $1 AND last_event_time <= $2", id, at)
	if err != nil {
		return err
	}
	_, err = t.Exec(ctx, `INSERT INTO deleted_users SELECT $1, $2::timestamptz
		WHERE NOT EXISTS (SELECT FROM users WHERE id = $1)
		ON CONFLICT (id) DO UPDATE SET deleted_at = greatest(deleted_users.deleted_at, EXCLUDED.deleted_at)`, id, at)
	return err
}

// isNew records the identity of an event. It returns false if the event was applied before.
func (t table) isNew(ctx context.Context, source, id string) (bool, error) {
	tag, err := t.Exec(ctx, "INSERT INTO applied_events (source, id) VALUES ($1, $2) ON CONFLICT DO NOTHING", source, id)
	return tag.RowsAffected() == 1, err
}

// forget forgets deletions and identities after seven days.
func (t table) forget(ctx context.Context) error {
	_, err := t.Exec(ctx, "DELETE FROM deleted_users WHERE deleted_at < now() - interval '7 days'")
	if err != nil {
		return err
	}
	_, err = t.Exec(ctx, "DELETE FROM applied_events WHERE applied_at < now() - interval '7 days'")
	return err
}

func (t table) storeOffset(ctx context.Context, partition int32, offset int64) error {
	_, err := t.Exec(ctx, `INSERT INTO event_offsets VALUES ($1, $2)
		ON CONFLICT (partition_id) DO UPDATE SET next_offset = EXCLUDED.next_offset`, partition, offset)
	return err
}

// applyState applies a record of the state topic. A record without a value is a deletion.
func (t table) applyState(ctx context.Context, record *kgo.Record) error {
	if record.Value == nil {
		index := slices.IndexFunc(record.Headers, func(h kgo.RecordHeader) bool { return h.Key == "ce_time" })
		at, err := time.Parse(time.RFC3339, string(record.Headers[index].Value))
		if err != nil {
			return err
		}
		return t.delete(ctx, string(record.Key), at)
	}
	// The user of a state has the members of an event's user.
	var value struct {
		User  user.User               `json:"user"`
		State userstate.StateMetadata `json:"state"`
	}
	var raw struct {
		User map[string]any `json:"user"`
	}
	if err := json.Unmarshal(record.Value, &value); err != nil {
		return err
	}
	if err := json.Unmarshal(record.Value, &raw); err != nil {
		return err
	}
	id, state := value.User.Id, value.State
	if state.LastDeletionTime != nil {
		if err := t.delete(ctx, id, *state.LastDeletionTime); err != nil {
			return err
		}
	}
	if _, err := t.upsert(ctx, id, state.LastEventTime); err != nil {
		return err
	}
	return t.set(ctx, value.User, nulls(raw.User, ""), func(path string) (time.Time, error) {
		if text, older := state.FieldTimes[path].(string); older {
			return time.Parse(time.RFC3339, text)
		}
		return state.LastEventTime, nil
	})
}

// nulls lists the paths of the members that are null. Events have this list: cleared.
func nulls(object map[string]any, prefix string) (paths []string) {
	for name, value := range object {
		switch value := value.(type) {
		case nil:
			paths = append(paths, prefix+name)
		case map[string]any:
			paths = append(paths, nulls(value, prefix+name+".")...)
		}
	}
	return paths
}

// applyEvent applies a record of the event topic.
func (t table) applyEvent(ctx context.Context, record *kgo.Record) error {
	event, err := toEvent(ctx, record)
	if err != nil {
		return err
	}
	at := event.Time()
	if at.IsZero() {
		at = record.Timestamp
	}
	var data user.UserEvent
	if err := event.DataAs(&data); err != nil {
		return err
	}
	if isNew, err := t.isNew(ctx, event.Source(), event.ID()); err != nil || !isNew {
		return err
	}
	if data.Action == "deleted" {
		return t.delete(ctx, data.User.Id, at)
	}
	setsStatus := data.Action == "enabled" || data.Action == "disabled"
	if setsStatus && data.User.Status == nil && !slices.Contains(data.Cleared, "status") {
		data.User.Status = &data.Action
	}
	if exists, err := t.upsert(ctx, data.User.Id, at); err != nil || !exists {
		return err
	}
	return t.set(ctx, data.User, data.Cleared, func(string) (time.Time, error) { return at, nil })
}

// toEvent reads a record in either content mode. The SDK has no binding for franz-go, but one for HTTP, whose headers
// differ in the prefix.
func toEvent(ctx context.Context, record *kgo.Record) (*event.Event, error) {
	header := http.Header{}
	for _, h := range record.Headers {
		header.Set(strings.Replace(h.Key, "ce_", "ce-", 1), string(h.Value))
	}
	return binding.ToEvent(ctx, cehttp.NewMessage(header, io.NopCloser(bytes.NewReader(record.Value))))
}

func connect(servers string, options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(options,
		kgo.SeedBrokers(strings.Split(servers, ",")...),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// Events between the stored offset and the oldest one in the topic are lost: bootstrap again.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
	)...)
}

// bootstrap fills the tables from the state topic, in one transaction with the offsets at which to follow the events.
func bootstrap(ctx context.Context, database *pgx.Conn, servers, states, events string) error {
	// Control records tell the ends of transactions.
	client, err := connect(servers, kgo.KeepControlRecords())
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ends, err := admin.ListEndOffsets(ctx, events)
	if err != nil {
		return err
	}
	// Events of the last seven days. Those that the state includes change nothing.
	starts, err := admin.ListOffsetsAfterMilli(ctx, time.Now().AddDate(0, 0, -7).UnixMilli(), events)
	if err != nil {
		return err
	}
	first, err := admin.ListStartOffsets(ctx, states)
	if err != nil {
		return err
	}
	last, err := admin.ListCommittedOffsets(ctx, states)
	if err != nil {
		return err
	}
	for _, listed := range []kadm.ListedOffsets{ends, starts, first, last} {
		if err := listed.Error(); err != nil {
			return err
		}
	}
	unread := map[int32]kgo.Offset{}
	for partition, at := range first[states] {
		if at.Offset < last[states][partition].Offset {
			unread[partition] = kgo.NewOffset().At(at.Offset)
		}
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{states: unread})
	return pgx.BeginFunc(ctx, database, func(tx pgx.Tx) error {
		t := table{tx}
		if _, err := t.Exec(ctx, "TRUNCATE users, deleted_users, applied_events"); err != nil {
			return err
		}
		for partition, start := range starts[events] {
			if err := t.storeOffset(ctx, partition, min(start.Offset, ends[events][partition].Offset)); err != nil {
				return err
			}
		}
		for len(unread) > 0 {
			fetches := client.PollRecords(ctx, 500)
			if err := fetches.Err(); err != nil {
				return err
			}
			for _, record := range fetches.Records() {
				if !record.Attrs.IsControl() {
					if err := t.applyState(ctx, record); err != nil {
						return err
					}
				}
				if record.Offset+1 >= last[states][record.Partition].Offset {
					delete(unread, record.Partition)
				}
			}
		}
		return nil
	})
}

// follow applies events without end. A transaction has the events and their offsets.
func follow(ctx context.Context, database *pgx.Conn, servers, events string, offsets map[int32]kgo.Offset) error {
	client, err := connect(servers, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{events: offsets}))
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		fetches := client.PollRecords(ctx, 500)
		if err := fetches.Err(); err != nil {
			return err
		}
		err := pgx.BeginFunc(ctx, database, func(tx pgx.Tx) error {
			t := table{tx}
			for _, record := range fetches.Records() {
				if err := t.applyEvent(ctx, record); err != nil {
					return fmt.Errorf("%s/%d at %d: %w", record.Topic, record.Partition, record.Offset, err)
				}
				if err := t.storeOffset(ctx, record.Partition, record.Offset+1); err != nil {
					return err
				}
			}
			return t.forget(ctx)
		})
		if err != nil {
			return err
		}
	}
}

// storedOffsets returns where to go on, by partition. It is empty before the bootstrap.
func storedOffsets(ctx context.Context, database *pgx.Conn) (map[int32]kgo.Offset, error) {
	rows, err := database.Query(ctx, "SELECT partition_id, next_offset FROM event_offsets")
	if err != nil {
		return nil, err
	}
	offsets, partition, next := map[int32]kgo.Offset{}, int32(0), int64(0)
	_, err = pgx.ForEachRow(rows, []any{&partition, &next}, func() error {
		offsets[partition] = kgo.NewOffset().At(next)
		return nil
	})
	return offsets, err
}

func run(ctx context.Context, servers, prefix, url string) error {
	database, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	// One process at a time; others wait. The lock ends with the connection that writes.
	if _, err := database.Exec(ctx, "SELECT pg_advisory_lock(hashtext('users'))"); err != nil {
		return err
	}
	states, events := prefix+".user.state.v1", prefix+".user.v1"
	offsets, err := storedOffsets(ctx, database)
	if err == nil && len(offsets) == 0 {
		if err := bootstrap(ctx, database, servers, states, events); err != nil {
			return err
		}
		log.Print("bootstrapped")
		offsets, err = storedOffsets(ctx, database)
	}
	if err != nil {
		return err
	}
	return follow(ctx, database, servers, events, offsets)
}

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: consumer BOOTSTRAP_SERVERS PREFIX DATABASE_URL")
	}
	log.Fatal(run(context.Background(), os.Args[1], os.Args[2], os.Args[3]))
}
