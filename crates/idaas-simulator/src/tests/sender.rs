//! Tests of `sender`.

use super::*;
use crate::test_bridge::tenant_keys;

fn target(text: &str) -> Result<String, SenderFault> {
    Sender::new(tenant_keys(), text).map(|sender| sender.target().to_owned())
}

#[test]
fn a_target_without_a_path_gets_the_one_of_the_application() {
    assert_eq!(target("http://127.0.0.1:8080").unwrap(), "http://127.0.0.1:8080/callbacks/workforce");
    assert_eq!(target("https://example.com/x/y").unwrap(), "https://example.com/x/y");
}

#[test]
fn a_target_that_is_no_http_url_is_refused_with_an_example() {
    for text in ["localhost:8080", "ftp://example.com", ""] {
        let fault = target(text).unwrap_err().to_string();
        assert!(fault.contains("http://127.0.0.1:8080/callbacks/workforce"), "{fault}");
    }
}
