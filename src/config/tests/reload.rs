use super::{MINIMAL, World, with};

#[test]
fn what_a_reload_takes_over_needs_no_restart() {
    let old = World::new().good(&with("server", "tls = { certificate = 'tls.crt', key = 'tls.key' }"));
    let world = World::new().file("current.key", super::KEY).file("new.crt", "-----BEGIN CERTIFICATE-----\n");
    let new = world.good(
        &(with("server", "tls = { certificate = 'new.crt', key = 'tls.key' }").replace("workforce", "partners")
            + "[log]\nlevel = 'debug'\nevents = true\n"),
    );
    assert!(old.needs_restart(&new).is_empty());
}

#[test]
fn every_other_change_is_named() {
    let old = World::new().good(MINIMAL);
    let new = World::new().good(
        &"[server]\nlisten = '0.0.0.0:81'\nadmin_listen = '0.0.0.0:82'\nresponse_deadline = '5s'\ndrain_timeout = '6s'\n\
         clock_skew = '1s'\nmax_body = '1MiB'\nmax_in_flight_events = 9\nmax_memory = '64MiB'\ntrusted_proxies = ['::1']\n\
         tls = { certificate = 'tls.crt', key = 'tls.key' }\n[kafka.properties]\nlinger.ms = 1\n[topics]\nprefix = 'x'\n\
         create = true\npartitions = 3\nreplication_factor = 1\nretention = '1d'\nevent_mode = 'structured'\n[dedupe]\nreplicas = 2\n[log]\nformat = 'text'\nMINIMAL"
            .replace("MINIMAL", &with("journal", "directory = 'x'\nmax_size = '2GiB'").replace("kafka-1", "kafka-2")),
    );
    let keys = old.needs_restart(&new);
    let named: Vec<_> =
        "server.listen server.admin_listen server.response_deadline server.drain_timeout server.clock_skew \
        server.max_body server.max_memory server.max_in_flight_events server.trusted_proxies server.tls kafka.bootstrap_servers \
         topics.prefix topics.create topics.partitions topics.replication_factor topics.retention topics.event_mode \
         journal.directory journal.max_size dedupe.replicas dedupe.follow_replicas log.format"
            .split_whitespace()
            .collect();
    assert_eq!(keys, named);
    assert!(old.needs_restart(&old).is_empty());
    assert_eq!(old.changed_properties(&new), ["kafka.properties.\"linger.ms\""]);
    assert!(old.changed_properties(&old).is_empty());
}

#[test]
fn a_renewed_file_of_a_kafka_property_is_a_change_of_it() {
    let text = format!(
        "[kafka.properties]\nssl.key.location = 'tls.key'\nsasl.password = {{ file = 'current.key' }}\n{MINIMAL}"
    );
    let old = World::new().good(&text);
    let world = World::new().file("tls.key", "-----BEGIN PRIVATE KEY-----\n").file("current.key", super::KEY);
    let changed = old.changed_properties(&world.good(&text));
    assert_eq!(changed, ["kafka.properties.\"sasl.password\"", "kafka.properties.\"ssl.key.location\""]);
}

#[test]
fn a_renewed_certificate_of_the_collector_needs_a_restart() {
    let text = format!("{MINIMAL}[tracing]\notlp_endpoint = 'https://collector:4318'\notlp_ca = 'tls.crt'\n");
    let old = World::new().good(&text);
    let new = World::new().file("tls.crt", "-----BEGIN CERTIFICATE-----\nrenewed\n").good(&text);
    assert_eq!(old.needs_restart(&new), ["tracing"]);
    assert!(old.needs_restart(&World::new().good(&text)).is_empty());
}
