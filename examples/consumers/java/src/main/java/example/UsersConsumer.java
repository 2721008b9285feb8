package example;

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.datatype.jsr310.JavaTimeModule;
import io.cloudevents.CloudEvent;
import io.cloudevents.kafka.CloudEventDeserializer;
import java.io.IOException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import records.user.Email;
import records.user.OrganizationalUnitMembership;
import records.user.Phone;
import records.user.User;
import records.user.UserEvent;
import records.userstate.StateMetadata;

/**
 * Keeps the table {@code users} in step with the directory: bootstraps from the state topic, then follows the event
 * topic.
 */
public final class UsersConsumer {
    /** A column, and the field that it holds. */
    private record Column(String name, String path, Function<User, Object> value) {}

    /** A record of the state topic. Its user has the members of an event's user. */
    private record State(User user, StateMetadata state) {}

    private static final List<Column> COLUMNS = List.of(
            new Column("username", "username", User::getUsername),
            new Column("display_name", "displayName", User::getDisplayName),
            new Column("status", "status", User::getStatus),
            new Column("email", "email.address", email(Email::getAddress)),
            new Column("email_verified", "email.verified", email(Email::getVerified)),
            new Column("phone_region", "phone.region", phone(Phone::getRegion)),
            new Column("phone_number", "phone.number", phone(Phone::getNumber)),
            new Column("organizational_units", "organizationalUnits", UsersConsumer::unitIds),
            new Column("account_expires_at", "accountExpiresAt", User::getAccountExpiresAt));

    private static final ObjectMapper JSON = new ObjectMapper()
            .registerModule(new JavaTimeModule())
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES);

    private final Connection database;

    private UsersConsumer(Connection database) {
        this.database = database;
    }

    private static Function<User, Object> email(Function<Email, Object> value) {
        return user -> user.getEmail() == null ? null : value.apply(user.getEmail());
    }

    private static Function<User, Object> phone(Function<Phone, Object> value) {
        return user -> user.getPhone() == null ? null : value.apply(user.getPhone());
    }

    private static Object unitIds(User user) {
        var units = user.getOrganizationalUnits();
        return units == null ? null : units.stream().map(OrganizationalUnitMembership::getId).toArray(String[]::new);
    }

    private int execute(String sql, Object... parameters) throws SQLException {
        try (PreparedStatement statement = database.prepareStatement(sql)) {
            for (int index = 0; index < parameters.length; index++) {
                statement.setObject(index + 1, parameters[index]);
            }
            return statement.executeUpdate();
        }
    }

    /**
     * Records the time of an event, and creates the user if it is new. Returns false if the user was deleted at that time
     * or later.
     */
    private boolean upsert(String id, OffsetDateTime time) throws SQLException {
        return execute("""
                INSERT INTO users (id, last_event_time) SELECT ?, ?
                WHERE NOT EXISTS (SELECT FROM deleted_users WHERE id = ? AND deleted_at >= ?)
                ON CONFLICT (id) DO UPDATE SET last_event_time = greatest(users.last_event_time, EXCLUDED.last_event_time)
                """, id, time, id, time) == 1;
    }

    /**
     * Sets the fields that the record carries, and clears those that are null in it, unless a newer event has set them:
     * the last writer wins, by the time of the event.
     */
    private void set(User user, List<String> cleared, Function<String, OffsetDateTime> times) throws SQLException {
        for (Column column : COLUMNS) {
            Object value = column.value().apply(user);
            if (value == null && !cleared.contains(column.path())) {
                continue; // absent
            }
            OffsetDateTime time = times.apply(column.path());
            execute("""
                    UPDATE users SET %1$s = ?, field_times = field_times || jsonb_build_object('%1$s', ?::timestamptz)
                    WHERE id = ? AND coalesce((field_times ->> '%1$s')::timestamptz, '-infinity') <= ?
                    """.formatted(column.name()), value, time, user.getId(), time);
        }
    }

    /** Deletes a user and remembers it, unless something newer is known. */
    private void delete(String id, OffsetDateTime time) throws SQLException {
        execute("DELETE FROM users WHERE id = ? AND last_event_time <= ?", id, time);
        execute("""
                INSERT INTO deleted_users SELECT ?, ? WHERE NOT EXISTS (SELECT FROM users WHERE id = ?)
                ON CONFLICT (id) DO UPDATE SET deleted_at = greatest(deleted_users.deleted_at, EXCLUDED.deleted_at)
                """, id, time, id);
    }

    /** Records the identity of an event. Returns false if the event was applied before. */
    private boolean isNew(CloudEvent event) throws SQLException {
        return execute("INSERT INTO applied_events (source, id) VALUES (?, ?) ON CONFLICT DO NOTHING",
                event.getSource().toString(), event.getId()) == 1;
    }

    /** Forgets deletions and identities after seven days. */
    private void forget() throws SQLException {
        execute("DELETE FROM deleted_users WHERE deleted_at < now() - interval '7 days'");
        execute("DELETE FROM applied_events WHERE applied_at < now() - interval '7 days'");
    }

    private void storeOffset(TopicPartition partition, long offset) throws SQLException {
        execute("""
                INSERT INTO event_offsets VALUES (?, ?)
                ON CONFLICT (partition_id) DO UPDATE SET next_offset = EXCLUDED.next_offset
                """, partition.partition(), offset);
    }

    private Map<TopicPartition, Long> storedOffsets(String topic) throws SQLException {
        Map<TopicPartition, Long> offsets = new HashMap<>();
        try (var statement = database.createStatement();
                ResultSet rows = statement.executeQuery("SELECT partition_id, next_offset FROM event_offsets")) {
            while (rows.next()) {
                offsets.put(new TopicPartition(topic, rows.getInt(1)), rows.getLong(2));
            }
        }
        return offsets;
    }

    /** Applies a record of the state topic. A record without a value is a deletion. */
    private void applyState(ConsumerRecord<String, String> record) throws SQLException, IOException {
        if (record.value() == null) {
            String time = new String(record.headers().lastHeader("ce_time").value());
            delete(record.key(), OffsetDateTime.parse(time));
            return;
        }
        JsonNode json = JSON.readTree(record.value());
        State value = JSON.treeToValue(json, State.class);
        String id = value.user().getId();
        StateMetadata state = value.state();
        if (state.getLastDeletionTime() != null) {
            delete(id, state.getLastDeletionTime());
        }
        upsert(id, state.getLastEventTime());
        JsonNode times = json.path("state").path("fieldTimes");
        set(value.user(), nulls(json.get("user"), ""), path ->
                times.has(path) ? OffsetDateTime.parse(times.get(path).asText()) : state.getLastEventTime());
    }

    /** The paths of the members that are null. Events have this list: {@code cleared}. */
    private static List<String> nulls(JsonNode object, String prefix) {
        List<String> paths = new ArrayList<>();
        object.fields().forEachRemaining(member -> {
            if (member.getValue().isNull()) {
                paths.add(prefix + member.getKey());
            } else if (member.getValue().isObject()) {
                paths.addAll(nulls(member.getValue(), prefix + member.getKey() + "."));
            }
        });
        return paths;
    }

    /** Applies a record of the event topic. */
    private void applyEvent(ConsumerRecord<String, CloudEvent> record) throws SQLException, IOException {
        CloudEvent event = record.value();
        OffsetDateTime time = event.getTime() != null
                ? event.getTime()
                : Instant.ofEpochMilli(record.timestamp()).atOffset(ZoneOffset.UTC);
        UserEvent data = JSON.readValue(event.getData().toBytes(), UserEvent.class);
        User user = data.getUser();
        List<String> cleared = data.getCleared() == null ? List.of() : data.getCleared();
        if (!isNew(event)) {
            return;
        }
        if (data.getAction().equals("deleted")) {
            delete(user.getId(), time);
            return;
        }
        boolean setsStatus = data.getAction().equals("enabled") || data.getAction().equals("disabled");
        if (setsStatus && user.getStatus() == null && !cleared.contains("status")) {
            user.setStatus(data.getAction());
        }
        if (upsert(user.getId(), time)) {
            set(user, cleared, path -> time);
        }
    }

    private static <T> KafkaConsumer<String, T> consumer(String servers, Deserializer<T> values) {
        Map<String, Object> properties = Map.of(
                "bootstrap.servers", servers,
                "enable.auto.commit", false, // The offsets are in the database.
                "isolation.level", "read_committed",
                // Events between the stored offset and the oldest one in the topic are lost: bootstrap again.
                "auto.offset.reset", "none");
        return new KafkaConsumer<>(properties, new StringDeserializer(), values);
    }

    private static List<TopicPartition> partitions(KafkaConsumer<?, ?> consumer, String topic) {
        return consumer.partitionsFor(topic).stream().map(info -> new TopicPartition(topic, info.partition())).toList();
    }

    /** Fills the tables from the state topic, in one transaction with the offsets at which to follow the events. */
    private void bootstrap(String servers, String states, String events) throws SQLException, IOException {
        try (KafkaConsumer<String, String> consumer = consumer(servers, new StringDeserializer())) {
            // Events of the last seven days. Those that the state includes change nothing.
            long since = Instant.now().minus(Duration.ofDays(7)).toEpochMilli();
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions(consumer, events));
            Map<TopicPartition, OffsetAndTimestamp> starts = consumer.offsetsForTimes(
                    ends.keySet().stream().collect(Collectors.toMap(partition -> partition, partition -> since)));
            execute("TRUNCATE users, deleted_users, applied_events");
            for (var end : ends.entrySet()) {
                OffsetAndTimestamp start = starts.get(end.getKey()); // null: no event in these seven days
                storeOffset(end.getKey(), start == null ? end.getValue() : Math.min(start.offset(), end.getValue()));
            }
            Map<TopicPartition, Long> stateEnds = consumer.endOffsets(partitions(consumer, states));
            consumer.assign(stateEnds.keySet());
            consumer.seekToBeginning(stateEnds.keySet());
            while (stateEnds.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofSeconds(1))) {
                    applyState(record);
                }
            }
            database.commit();
        }
    }

    /** Applies events without end. A transaction has the events and their offsets. */
    private void follow(String servers, Map<TopicPartition, Long> offsets) throws SQLException, IOException {
        try (KafkaConsumer<String, CloudEvent> consumer = consumer(servers, new CloudEventDeserializer())) {
            consumer.assign(offsets.keySet());
            offsets.forEach(consumer::seek);
            while (true) {
                var records = consumer.poll(Duration.ofSeconds(1));
                for (ConsumerRecord<String, CloudEvent> record : records) {
                    applyEvent(record);
                }
                for (TopicPartition partition : records.partitions()) {
                    storeOffset(partition, consumer.position(partition));
                }
                forget();
                database.commit();
            }
        }
    }

    /** Arguments: bootstrap servers, topic prefix, and the database as {@code postgresql://host:port/name?user=…}. */
    public static void main(String[] arguments) throws Exception {
        String servers = arguments[0];
        String events = arguments[1] + ".user.v1";
        try (Connection database = DriverManager.getConnection("jdbc:" + arguments[2])) {
            database.setAutoCommit(false);
            UsersConsumer users = new UsersConsumer(database);
            // One process at a time; others wait. The lock ends with the connection that writes.
            database.createStatement().execute("SELECT pg_advisory_lock(hashtext('users'))");
            if (users.storedOffsets(events).isEmpty()) {
                users.bootstrap(servers, arguments[1] + ".user.state.v1", events);
                System.out.println("bootstrapped");
            }
            users.follow(servers, users.storedOffsets(events));
        }
    }
}
