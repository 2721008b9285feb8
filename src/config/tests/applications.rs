use std::path::PathBuf;

use super::{KEY, MINIMAL, World};
use idaas_callback::policy::Passwords;

use crate::config::JwksSource;

fn with(line: &str) -> String {
    format!("{MINIMAL}{line}\n")
}

#[test]
fn an_application_gets_its_defaults() {
    let config = World::new().good(MINIMAL);
    let application = &config.applications[0];
    assert_eq!((application.name.as_str(), application.id.as_str()), ("workforce", "app_one"));
    assert!(application.instance_id.is_none() && application.require_encryption);
    assert!(matches!(application.passwords, Passwords::Drop));
    assert!(application.skip.is_empty() && application.topic_prefix.is_none());
    let url = "https://eiam.example.com/jwks".to_owned();
    assert!(application.jwks == JwksSource::Url { url, ca_file: None });
    for address in ["192.0.2.1", "2001:db8::1"] {
        let address: std::net::IpAddr = address.parse().unwrap();
        assert!(application.allowed_networks.iter().any(|network| network.contains(&address)));
    }
}

#[test]
fn every_key_of_an_application_can_be_set() {
    let text = with(
        "instance_id = 'idaas_two'\nrequire_encryption = false\nallowed_networks = ['::ffff:192.0.2.0/120']\n\
         passwords = 'seal'\ncredential_key = { file = 'journal.key' }\njwks_ca = 'tls.crt'\n\
         skip = ['urn:alibaba:idaas:app:event:ud:user:lock']\ntopic_prefix = 'idaas-workforce'",
    );
    let application = World::new().good(&text).applications.remove(0);
    assert_eq!(application.instance_id.as_deref(), Some("idaas_two"));
    assert!(!application.require_encryption);
    assert_eq!(application.allowed_networks[0].to_string(), "192.0.2.0/24");
    assert!(matches!(application.passwords, Passwords::Seal(_)));
    assert_eq!(application.skip, ["urn:alibaba:idaas:app:event:ud:user:lock"]);
    assert_eq!(application.topic_prefix.as_deref(), Some("idaas-workforce"));
    let JwksSource::Url { ca_file, .. } = application.jwks else { panic!("no URL") };
    assert_eq!(ca_file, Some(PathBuf::from("/etc/bridge/tls.crt")));
}

#[test]
fn without_an_application_the_fault_says_what_one_needs() {
    let text = MINIMAL.split("[[application]]").next().unwrap();
    assert!(World::new().bad(text).contains("add [[application]] with name, id, jwks and decryption_keys"));
    let faults = World::new().bad(&MINIMAL.replace("[[application]]", "[application]"));
    assert!(faults.contains("two brackets"), "{faults}");
    let faults = World::new().bad(&format!("{text}[[application]]\n"));
    for key in ["name", "id", "jwks", "decryption_keys"] {
        assert!(faults.contains(&format!("application[0].{key}: is missing")), "{faults}");
    }
}

#[test]
fn names_are_short_plain_and_unique() {
    for bad in ["Workforce", "work force", "a/b", "unknown", "", &"x".repeat(65)] {
        let faults = World::new().bad(&MINIMAL.replace("workforce", bad));
        assert!(faults.starts_with("application[") && faults.contains("].name: "), "{bad}: {faults}");
    }
    let second = MINIMAL.split_once("[[application]]").unwrap().1;
    let faults = World::new().bad(&format!("{MINIMAL}[[application]]{second}"));
    assert!(faults.contains("give each application its own name"), "{faults}");
    assert!(faults.contains("give each application its own id"), "{faults}");
    let other = second.replace("workforce", "partners").replace("app_one", "app_two");
    assert_eq!(World::new().good(&format!("{MINIMAL}[[application]]{other}")).applications.len(), 2);
}

#[test]
fn ids_of_the_other_kind_are_told_apart() {
    let faults = World::new().bad(&MINIMAL.replace("app_one", "idaas_one"));
    assert!(faults.contains("is the id of an instance") && faults.contains("instance_id"), "{faults}");
    let faults = World::new().bad(&with("instance_id = 'app_one'"));
    assert!(faults.contains("is the id of an application"), "{faults}");
    let faults = World::new().bad(&MINIMAL.replace("app_one", "app/one"));
    assert!(faults.contains("copy it from the console"), "{faults}");
}

#[test]
fn a_key_set_comes_from_a_url_or_a_file() {
    let url = "\"https://eiam.example.com/jwks\"";
    let config = World::new().good(&MINIMAL.replace(url, "{ file = 'jwks.json' }"));
    assert!(config.applications[0].jwks == JwksSource::File(PathBuf::from("/etc/bridge/jwks.json")));
    for bad in
        ["'eiam.example.com/jwks'", "'ftp://eiam.example.com/jwks'", "17", "{ url = 'https://x' }", "'https://u:p@x/'"]
    {
        let faults = World::new().bad(&MINIMAL.replace(url, bad));
        assert!(faults.starts_with("application[workforce].jwks: "), "{bad}: {faults}");
    }
    let faults = World::new().bad(&MINIMAL.replace(url, "{ file = 'journal.key' }"));
    assert!(faults.contains("is not a JSON Web Key Set"), "{faults}");
    let faults = World::new().bad(&MINIMAL.replace(url, "{ file = 'jwks.json' }\njwks_ca = 'tls.crt'"));
    assert!(faults.contains("application[workforce].jwks_ca: has no effect"), "{faults}");
}

#[test]
fn public_keys_over_http_are_warned_of_unless_from_this_machine() {
    let warned = |url: &str| {
        let config = World::new().good(&MINIMAL.replace("https://eiam.example.com", url));
        config.warnings.iter().any(|warning| warning.to_string().contains("anybody can sign"))
    };
    assert!(warned("http://eiam.example.com") && warned("http://192.0.2.1:80"));
    for own in ["http://localhost:81", "http://127.0.0.1", "http://[::1]:81", "https://eiam.example.com"] {
        assert!(!warned(own), "{own}");
    }
}

#[test]
fn decryption_keys_are_needed_only_where_encryption_is() {
    let without = MINIMAL.replace("decryption_keys = [{ file = \"current.key\" }]\n", "");
    let faults = World::new().bad(&without);
    assert!(faults.contains("require_encryption = false"), "{faults}");
    let empty = MINIMAL.replace("[{ file = \"current.key\" }]", "[]");
    assert!(World::new().bad(&empty).contains("application[workforce].decryption_keys: is empty"));
    World::new().good(&format!("{without}require_encryption = false\n"));
    World::new().good(&format!("{empty}require_encryption = false\n"));
}

#[test]
fn sealing_passwords_and_the_key_for_it_belong_together() {
    let faults = World::new().bad(&with("passwords = 'seal'"));
    assert!(faults.contains("application[workforce].credential_key: is missing"), "{faults}");
    let faults = World::new().bad(&with("credential_key = { file = 'journal.key' }"));
    assert!(faults.contains("passwords = \"seal\""), "{faults}");
    let faults = World::new().bad(&with("passwords = 'seal'\ncredential_key = { file = 'next.key' }"));
    assert!(faults.contains("32 hex digits and must have 64"), "{faults}");
    let config = World::new().good(&with(&format!("passwords = 'seal'\ncredential_key = '{KEY}'")));
    assert!(config.warnings.iter().any(|warning| warning.to_string().contains("also a journal key")));
}

#[test]
fn skipped_types_are_whole_urns() {
    for bad in ["user:create", "urn:alibaba:idaas:app:event:", "urn:alibaba:idaas:app:event:ud:user:Lock", "urn:x"] {
        let faults = World::new().bad(&with(&format!("skip = ['{bad}']")));
        assert!(faults.starts_with("application[workforce].skip[0]: "), "{bad}: {faults}");
    }
    let config = World::new().good(&with("skip = ['urn:alibaba:idaas:app:event:common:test']"));
    assert!(config.warnings.iter().any(|warning| warning.to_string().contains("connection test")));
}

#[test]
fn open_doors_are_warned_of_unless_they_are_written_down() {
    let keys = |text: &str| -> Vec<String> {
        World::new().good(text).warnings.into_iter().map(|warning| warning.key).collect()
    };
    let open = keys(MINIMAL);
    assert!(open.contains(&"application[workforce].allowed_networks".to_owned()), "{open:?}");
    assert!(open.contains(&"application[workforce].instance_id".to_owned()), "{open:?}");
    let closed = keys(&with("instance_id = 'idaas_two'\nallowed_networks = ['0.0.0.0/0']"));
    assert!(!closed.iter().any(|key| key.starts_with("application")), "{closed:?}");
    assert!(World::new().bad(&with("allowed_networks = []")).contains("no callback would be accepted"));
}

const FETCH: &str = "instance_id = 'idaas_two'\n[application.fetch]\nendpoint = 'https://eiam-developerapi.example.com/'\nclient_secret = { file = 'next.key' }";

#[test]
fn fetch_has_the_application_id_as_client_id() {
    let application = World::new().good(&with(FETCH)).applications.remove(0);
    let fetch = application.fetch.unwrap();
    assert_eq!(
        (fetch.endpoint.as_str(), fetch.client_id.as_str()),
        ("https://eiam-developerapi.example.com", "app_one")
    );
    assert_eq!(
        (fetch.client_secret.expose().as_str(), fetch.requests_per_second),
        ("00112233445566778899aabbccddeeff", 5)
    );
    let text = with(&format!("{FETCH}\nclient_id = 'app_two'\nrequests_per_second = 20"));
    let fetch = World::new().good(&text).applications.remove(0).fetch.unwrap();
    assert_eq!((fetch.client_id.as_str(), fetch.requests_per_second), ("app_two", 20));
    assert!(World::new().good(MINIMAL).applications[0].fetch.is_none());
}

#[test]
fn all_faults_of_fetch_are_reported_together() {
    let faults = World::new().bad(&with("[application.fetch]\nrequests_per_second = 0\nclient_sekret = 'x'"));
    for key in [
        "endpoint: is missing",
        "client_secret: is missing",
        "requests_per_second: is 0",
        "client_sekret: is not a known",
    ] {
        assert!(faults.contains(&format!("application[workforce].fetch.{key}")), "{key}: {faults}");
    }
    assert!(faults.contains("application[workforce].fetch: needs the application's instance_id"), "{faults}");
}

#[test]
fn fetch_takes_http_only_from_a_loopback_address() {
    let at = |url: &str| with(&FETCH.replace("https://eiam-developerapi.example.com/", url));
    for good in ["http://localhost:81", "http://127.0.0.1:8", "http://[::1]:81", "https://10.0.0.1"] {
        World::new().good(&at(good));
    }
    for bad in
        ["http://eiam.example.com", "http://192.0.2.1", "ftp://localhost", "eiam", "https://u:p@x", "https://x/?a"]
    {
        let faults = World::new().bad(&at(bad));
        assert!(faults.starts_with("application[workforce].fetch.endpoint: "), "{bad}: {faults}");
        assert!(!faults.contains("u:p"), "{faults}");
    }
}

#[test]
fn inline_client_secret_is_warned_of() {
    let config = World::new().good(&with(&FETCH.replace("{ file = 'next.key' }", "'s3cret'")));
    let warning = config.warnings.iter().find(|warning| warning.key.ends_with("fetch.client_secret")).unwrap();
    assert!(!warning.to_string().contains("s3cret"), "{warning}");
}
