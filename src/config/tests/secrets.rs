use proptest::prelude::*;

use super::{KEY, MINIMAL, OTHER_KEY, World, shown, with};

#[test]
fn the_newline_at_a_files_end_is_no_part_of_a_secret() {
    for (content, secret) in [
        ("hush\n", "hush"),
        ("hush\r\n", "hush"),
        ("hush\r", "hush"),
        ("hush", "hush"),
        ("\u{feff}hush\r\n", "hush"),
        (" hu sh \n\n", " hu sh \n"),
    ] {
        let text = format!("[kafka.properties]\nsasl.password = {{ file = 'password' }}\n{MINIMAL}");
        let config = World::new().file("password", content).good(&text);
        assert_eq!(config.kafka.properties.get("sasl.password").unwrap().expose(), secret);
    }
}

#[test]
fn keys_come_from_files_variables_and_inline() {
    let keys = format!("[{{ file = 'journal.key' }}, {{ env = 'JOURNAL_KEY' }}, '{}']", OTHER_KEY.to_uppercase());
    let text = MINIMAL.replace("[{ file = \"journal.key\" }]", &keys);
    let config = World::new().variable("JOURNAL_KEY", OTHER_KEY).good(&text);
    let ids: Vec<_> = config.journal.keys.iter().map(|key| key.id().to_owned()).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids[0] != ids[1] && ids[1] == ids[2]);
}

#[test]
fn an_inline_secret_is_warned_of_and_one_from_a_variable_is_not() {
    let warned = |world: &World, text: &str| {
        let config = world.good(text);
        assert!(config.warnings.iter().all(|warning| !warning.to_string().contains(KEY)));
        config.warnings.iter().any(|warning| warning.to_string().contains("move it out"))
    };
    let inline = MINIMAL.replace("{ file = \"journal.key\" }", &format!("\"{KEY}\""));
    assert!(warned(&World::new(), &inline));
    assert!(!warned(&World::new(), MINIMAL));
    assert!(!warned(&World::new().variable("IDAAS_BRIDGE_JOURNAL__KEYS", KEY), MINIMAL));
    assert!(warned(&World::new(), &format!("[kafka.properties]\nsasl.password = 'hush'\n{MINIMAL}")));
    assert!(!warned(&World::new(), &format!("[kafka.properties]\nsasl.username = 'bridge'\n{MINIMAL}")));
}

#[test]
fn a_missing_secret_names_where_it_should_be() {
    let faults = World::new().bad(&MINIMAL.replace("current.key", "absent.key"));
    assert!(
        faults.contains("application[workforce].decryption_keys[0]: /etc/bridge/absent.key does not exist"),
        "{faults}"
    );
    let faults = World::new().bad(&MINIMAL.replace("{ file = \"current.key\" }", "{ env = \"ABSENT\" }"));
    assert!(faults.contains("the environment variable ABSENT is not set"), "{faults}");
    let faults = World::new().file("current.key", "\n").bad(MINIMAL);
    assert!(faults.contains("the secret is empty"), "{faults}");
    let faults = World::new().file("current.key", [0xff, 0xfe]).bad(MINIMAL);
    assert!(faults.contains("is not text"), "{faults}");
    for form in ["{}", "{ path = 'x' }", "{ file = 'x', env = 'Y' }", "17", "['x']"] {
        let faults = World::new().bad(&MINIMAL.replace("{ file = \"current.key\" }", form));
        assert!(faults.contains("{ file = \"…\" } or { env = \"…\" }"), "{form}: {faults}");
    }
}

#[test]
fn keys_of_a_wrong_form_are_faults_that_do_not_show_them() {
    for bad in [&KEY[1..], &KEY[..48], &format!("{}zz", &KEY[2..])] {
        let faults = World::new().file("journal.key", bad).bad(MINIMAL);
        assert!(faults.starts_with("journal.keys[0]: the key ") && faults.contains("openssl rand -hex 32"), "{faults}");
        assert!(!faults.contains("5ec2e75ec2e7"), "{faults}");
    }
    World::new().file("current.key", &KEY[..48]).good(MINIMAL);
    World::new().file("current.key", &KEY[..32]).good(MINIMAL);
}

#[test]
fn files_may_have_a_byte_order_mark_and_any_line_ending() {
    let tls = "tls = { certificate = 'tls.crt', key = 'tls.key' }";
    let text = super::with("server", tls).replace("\"https://eiam.example.com/jwks\"", "{ file = 'jwks.json' }");
    let pem = |label: &str| format!("-----BEGIN {label}-----\nMII=\n-----END {label}-----\n");
    let jwks = String::from_utf8(super::key_set()).unwrap();
    for ending in ["\n", "\r\n", "\r"] {
        let written = |text: &str| format!("\u{feff}{}", text.replace('\n', ending));
        let world = World::new()
            .file("tls.crt", written(&pem("CERTIFICATE")))
            .file("tls.key", written(&pem("RSA PRIVATE KEY")))
            .file("jwks.json", written(&format!("{jwks}\n")))
            .file("journal.key", written(&format!("{KEY}\n")))
            .file("current.key", written(&format!("{OTHER_KEY}\n")));
        world.good(&written(&text));
    }
    World::new().good(text.trim_end());
}

#[test]
fn a_private_key_with_a_passphrase_is_refused_at_once() {
    let tls = super::with("server", "tls = { certificate = 'tls.crt', key = 'tls.key' }");
    let kafka = format!("[kafka.properties]\nssl.key.location = 'tls.key'\n{MINIMAL}");
    for pem in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMII=\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMII=\n-----END RSA PRIVATE KEY-----\n",
    ] {
        let world = World::new().file("tls.key", pem);
        let faults = world.bad(&tls);
        assert!(faults.contains("server.tls.key: ") && faults.contains("openssl pkey"), "{faults}");
        let faults = world.bad(&kafka);
        assert!(faults.contains("ssl.key.location") && faults.contains("ssl.key.password"), "{faults}");
        world.good(&kafka.replace("ssl.key.location", "ssl.key.password = 'hush'\nssl.key.location"));
    }
}

#[test]
fn pem_that_librdkafka_cannot_read_is_handed_over_as_text() {
    let text = format!("[kafka.properties]\nssl.ca.location = 'ca.pem'\n{MINIMAL}");
    let pem = "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n";
    let world = |pem: String| World::new().file("ca.pem", pem).good(&text).kafka.properties;
    let properties = world(format!("\u{feff}{}", pem.replace('\n', "\r")));
    assert_eq!(properties.get("ssl.ca.pem").map(|value| value.expose().as_str()), Some(pem));
    assert!(!properties.contains_key("ssl.ca.location"));
    assert!(world(pem.to_owned()).contains_key("ssl.ca.location"));
}

#[test]
fn every_file_is_named_with_its_key_and_a_digest() {
    let tls = super::with("server", "tls = { certificate = 'tls.crt', key = 'tls.key' }");
    let text = format!(
        "[kafka.properties]\nssl.ca.location = 'ca'\nsasl.password = {{ file = 'current.key' }}\n{}",
        tls.replace("\"https://eiam.example.com/jwks\"", "{ file = 'jwks.json' }")
    );
    let files = |world: &World| world.good(&text).files;
    let before = files(&World::new());
    let keys: Vec<_> = before.iter().map(|file| (file.key.as_str(), file.digest.is_some())).collect();
    let expected = [
        ("server.tls.certificate", true),
        ("server.tls.key", true),
        ("kafka.properties.sasl.password.file", true),
        ("kafka.properties.ssl.ca.location", false),
        ("journal.keys[0].file", true),
        ("application[workforce].jwks.file", true),
        ("application[workforce].decryption_keys[0].file", true),
    ];
    assert_eq!(keys, expected);
    let after = files(&World::new().file("current.key", KEY));
    let changed: Vec<_> =
        before.iter().zip(&after).filter(|(one, other)| one != other).map(|(one, _)| &one.key).collect();
    assert_eq!(changed, ["kafka.properties.sasl.password.file", "application[workforce].decryption_keys[0].file"]);
}

/// A secret in every place where one is accepted, and in some where none is.
fn misplaced() -> Vec<String> {
    let quoted = format!("\"{KEY}\"");
    let secrets = [
        MINIMAL.replace("[{ file = \"journal.key\" }]", &quoted),
        MINIMAL.replace("{ file = \"journal.key\" }", &format!("{{ file = {quoted} }}")),
        MINIMAL.replace("{ file = \"journal.key\" }", &format!("{{ env = {quoted} }}")),
        MINIMAL.replace("{ file = \"journal.key\" }", &format!("{{ value = {quoted} }}")),
        MINIMAL.replace("{ file = \"journal.key\" }", &format!("\"{KEY}00\"")),
        MINIMAL.replace("{ file = \"journal.key\" }", &format!("\"{KEY}")),
        MINIMAL.replace("{ file = \"journal.key\" }", KEY),
        format!("[kafka.properties]\nacks = {quoted}\nsasl.password = [{quoted}]\n{MINIMAL}"),
        format!("[kafka.properties]\nsasl.password = {KEY}\n{MINIMAL}"),
        format!("[kafka.properties]\nsasl.password = \"{KEY}\n{MINIMAL}"),
        format!("[kafka.properties]\nsasl.password = {quoted}\nsasl.password = {quoted}\n{MINIMAL}"),
        format!("{MINIMAL}credential_key = {quoted}\n"),
        format!("{MINIMAL}passwords = 'seal'\ncredential_key = [{quoted}]\n"),
        format!("{MINIMAL}decryption_key = {quoted}\n"),
        MINIMAL.replace("https://eiam", &format!("https://user:{KEY}@eiam")),
        MINIMAL.replace("https://eiam", &format!("user:{KEY}@eiam")),
    ];
    secrets.to_vec()
}

#[test]
fn no_fault_shows_a_secret_wherever_it_was_put() {
    for text in misplaced() {
        let faults = World::new().bad(&text);
        assert!(!faults.contains(&KEY[..16]), "{faults}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_has_faults_and_never_panics(text in "\\PC{0,200}") {
        prop_assert!(World::new().parse(&text).is_err());
    }

    #[test]
    fn a_damaged_file_never_shows_its_secrets(at in 0usize..900, insert in "[\"'=\\[\\]{}\\n #a]{0,2}", remove in 0usize..3) {
        let text = format!(
            "[kafka.properties]\n\"sasl.password\" = \"{KEY}\"\n{}passwords = 'seal'\ncredential_key = \"{KEY}\"\n",
            MINIMAL.replace("{ file = \"journal.key\" }", &format!("\"{KEY}\""))
        );
        let at = at % text.len();
        let end = (at + remove).min(text.len());
        let damaged = format!("{}{insert}{}", &text[..at], &text[end..]);
        if let Err(faults) = World::new().parse(&damaged) {
            prop_assert!(!shown(&faults).contains(&KEY[..16]), "{}", shown(&faults));
        }
    }
}

#[test]
fn the_files_that_hold_secrets_are_known_with_their_keys() {
    let more =
        "tls = { certificate = 'tls.crt', key = 'tls.key' }\n[kafka.properties]\n\"ssl.key.location\" = 'client.key'";
    let config = World::new().good(&with("server", more));
    let files: Vec<_> =
        config.secret_files.iter().map(|file| (file.key.as_str(), file.path.to_str().unwrap())).collect();
    for expected in [
        ("server.tls.key", "/etc/bridge/tls.key"),
        ("kafka.properties.\"ssl.key.location\"", "/etc/bridge/client.key"),
        ("journal.keys[0].file", "/etc/bridge/journal.key"),
    ] {
        assert!(files.contains(&expected), "{expected:?}: {files:?}");
    }
}
