//! What the operator can do about each refusal. The sender gets less information.

use idaas_callback::Refusal;

use crate::diagnosis::Diagnosis;

/// The step at which a callback is refused. The order is that of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Envelope,
    Header,
    Signature,
    Claims,
    Decryption,
    Events,
}

pub(super) const fn step(refusal: Refusal) -> Step {
    match refusal {
        Refusal::Malformed
        | Refusal::RequestTimeout
        | Refusal::TooLarge
        | Refusal::AddressNotAllowed
        | Refusal::NotFound
        | Refusal::MethodNotAllowed
        | Refusal::UnsupportedEncoding
        | Refusal::KeysUnavailable
        | Refusal::Overloaded
        | Refusal::Draining => Step::Envelope,
        Refusal::BadAlgorithm | Refusal::UnsupportedHeader => Step::Header,
        Refusal::UnknownKey | Refusal::BadSignature => Step::Signature,
        Refusal::Expired
        | Refusal::NotYetValid
        | Refusal::WrongIssuer
        | Refusal::WrongAudience
        | Refusal::WrongInstance
        | Refusal::NotEncrypted => Step::Claims,
        Refusal::Undecryptable => Step::Decryption,
        Refusal::Unreadable => Step::Events,
    }
}

/// Returns the problem and what to do about it. `quarantined` is the id of the callback if it is in quarantine.
pub(super) fn diagnosis(refusal: Refusal, quarantined: Option<&str>) -> Diagnosis {
    // The service would fetch the keys again; here they have just been fetched.
    let problem = if refusal == Refusal::UnknownKey {
        "The token names a key that is not in the application's key set."
    } else {
        refusal.description()
    };
    let remedy = quarantined.and_then(|id| in_quarantine(refusal, id));
    Diagnosis::new(refusal.code(), problem, remedy.unwrap_or_else(|| remedy_of(refusal).to_owned()))
}

const fn remedy_of(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Malformed => {
            "capture the complete body of the request, unchanged: {\"event\":\"eyJ…\"}, each member once. If it \
            arrived like this, it was not sent by IDaaS"
        }
        Refusal::BadSignature => {
            "if the capture is complete, it was not sent by IDaaS, or jwks belongs to another application: copy the \
            \"Public Key Endpoint\" of this one"
        }
        Refusal::UnknownKey => {
            "if IDaaS sent it, jwks belongs to another application (OIDC keys are different ones), or the file is \
            older than the last change of keys: copy the \"Public Key Endpoint\" of the provisioning settings"
        }
        Refusal::BadAlgorithm => "IDaaS signs with RS256 only: this is a forgery, or an example from the documentation",
        Refusal::UnsupportedHeader => "IDaaS sends alg, kid and typ only: this is not from IDaaS",
        Refusal::Expired => {
            "tokens are valid for 30 minutes: verify an older capture with --at and a time before its exp. If it has \
            just arrived, correct this machine's clock"
        }
        Refusal::NotYetValid => "correct this machine's clock, or use --at with a time after its iat",
        Refusal::WrongIssuer => "this token was made for another purpose (a login token, for instance): not a callback",
        Refusal::WrongAudience => {
            "set the application's id in the configuration to the token's aud, if that is the application you mean; it \
             is neither the OAuth client id nor the instance id"
        }
        Refusal::WrongInstance => {
            "set instance_id to the token's sub, if that is the instance you mean, or leave it out"
        }
        Refusal::NotEncrypted => {
            "switch encryption on in the provisioning settings of the IDaaS console, or set require_encryption = false"
        }
        Refusal::Undecryptable => {
            "copy the \"Encryption Key\" of this application's provisioning settings into a file, and name it in \
            decryption_keys in addition to the existing ones. IDaaS's own header is \
            {\"alg\":\"dir\",\"enc\":\"A256GCM\"}: if the header is different, the capture is not from IDaaS, or is \
            from a newer version of IDaaS"
        }
        Refusal::Unreadable => {
            "the decrypted data has a form that this version does not know (or is a list with too many elements): \
            keep the capture, and check for a newer version"
        }
        Refusal::RequestTimeout
        | Refusal::TooLarge
        | Refusal::AddressNotAllowed
        | Refusal::NotFound
        | Refusal::MethodNotAllowed
        | Refusal::UnsupportedEncoding
        | Refusal::KeysUnavailable
        | Refusal::Overloaded
        | Refusal::Draining => "see the service's log",
    }
}

/// Returns what to do about a quarantined callback that still cannot be read.
fn in_quarantine(refusal: Refusal, id: &str) -> Option<String> {
    match step(refusal) {
        Step::Decryption => Some(format!(
            "copy the Encryption Key that the application had when the callback arrived into a file, name it in \
            decryption_keys in addition to the existing ones, and reload (SIGHUP): then it is published. If that key \
            is lost: idaas-bridge journal discard {id} --yes, and press Synchronize in the IDaaS console"
        )),
        Step::Events => Some(
            "leave it in quarantine, and install a version that can read it: then it is published. Report the form \
            above, without personal data"
                .to_owned(),
        ),
        Step::Envelope | Step::Header | Step::Signature | Step::Claims => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_of_a_token_has_a_step_and_a_remedy_of_its_own() {
        let of_tokens: Vec<_> =
            Refusal::ALL.into_iter().filter(|refusal| remedy_of(*refusal) != "see the service's log").collect();
        assert_eq!(of_tokens.len(), 13);
        for status in of_tokens.iter().map(|refusal| refusal.status()) {
            assert!([400, 401, 422].contains(&status));
        }
    }
}
