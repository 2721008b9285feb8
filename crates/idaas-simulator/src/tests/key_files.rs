//! Tests of `key_files`.

use super::*;
use crate::test_bridge::tenant_keys;

fn written() -> (tempfile::TempDir, std::sync::Arc<TenantKeys>) {
    let directory = tempfile::tempdir().unwrap();
    let tenant_keys = tenant_keys();
    init(directory.path(), &tenant_keys, 1).unwrap();
    (directory, tenant_keys)
}

#[test]
fn what_was_written_is_read_back() {
    let (directory, tenant_keys) = written();
    let read = load(directory.path(), Some("workforce")).unwrap();
    assert_eq!(read.identity, tenant_keys.identity);
    assert_eq!(read.jwks(), tenant_keys.jwks());
    assert_eq!(read.encryption_key(), tenant_keys.encryption_key());
}

#[test]
fn nothing_is_overwritten_and_the_file_in_the_way_is_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(KEY_SET), "mine").unwrap();
    let fault = init(directory.path(), &tenant_keys(), 1).unwrap_err();
    assert!(fault.to_string().contains(KEY_SET), "{fault}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    assert_eq!(std::fs::read_to_string(directory.path().join(KEY_SET)).unwrap(), "mine");
}

#[cfg(unix)]
#[test]
fn private_keys_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (directory, _) = written();
    for name in [SIGNING_KEY, ENCRYPTION_KEY, JOURNAL_KEY, ADMIN_TOKEN] {
        let mode = directory.path().join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn the_configuration_names_the_instance_and_the_files_beside_it() {
    let identity = Identity::generate();
    let document: toml::Table = toml::from_str(&configuration(std::slice::from_ref(&identity))).unwrap();
    let application = &document["application"][0];
    assert_eq!(application["id"].as_str(), Some(identity.application_id.as_str()));
    assert_eq!(application["instance_id"].as_str(), Some(identity.instance_id.as_str()));
    assert_eq!(application["jwks"]["file"].as_str(), Some(KEY_SET));
    assert_eq!(application["decryption_keys"][0]["file"].as_str(), Some(ENCRYPTION_KEY));
    assert_eq!(document["journal"]["keys"][0]["file"].as_str(), Some(JOURNAL_KEY));
    assert_eq!(document["server"]["admin_token"]["file"].as_str(), Some(ADMIN_TOKEN));
}

#[test]
fn each_directory_has_an_admin_token_of_its_own() {
    let [(one, _), (other, _)] = [written(), written()];
    let [one, other] =
        [one, other].map(|directory| std::fs::read_to_string(directory.path().join(ADMIN_TOKEN)).unwrap());
    assert!(one.trim().len() == 64 && one != other);
    assert_ne!(one, std::fs::read_to_string(written().0.path().join(JOURNAL_KEY)).unwrap());
}

#[test]
fn a_missing_application_lists_the_configured_ones() {
    let (directory, _) = written();
    let path = directory.path().join(CONFIGURATION);
    let more = "[[application]]\nname = \"b\"\nid = \"app_b\"\nskip = [\"urn:x\"]\n";
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + more).unwrap();
    let read = load(directory.path(), Some("b")).unwrap();
    assert_eq!((read.identity.application_id.as_str(), read.skip.as_slice()), ("app_b", &["urn:x".to_owned()][..]));
    let fault = load(directory.path(), Some("c")).err().unwrap().to_string();
    assert!(fault.contains("workforce, b"), "{fault}");
}

#[test]
fn several_applications_of_one_instance_share_its_keys() {
    let directory = tempfile::tempdir().unwrap();
    init(directory.path(), &tenant_keys(), 3).unwrap();
    let [first, third] = [None, Some("application-3")].map(|name| load(directory.path(), name).unwrap().identity);
    assert_eq!(first.instance_id, third.instance_id);
    assert_ne!(first.application_id, third.application_id);
}

#[test]
fn a_directory_without_keys_says_which_command_writes_them() {
    let directory = tempfile::tempdir().unwrap();
    let fault = load(directory.path(), None).err().unwrap().to_string();
    assert!(fault.contains(CONFIGURATION) && fault.contains("simulate init"), "{fault}");
}
