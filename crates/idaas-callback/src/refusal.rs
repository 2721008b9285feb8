//! The reasons why a whole callback is rejected, each with a stable code and an HTTP status.
//!
//! A refusal never contains text of the sender, so that nothing of a forged or private callback reaches a log or an
//! answer.

/// Why a callback is refused. [`Refusal::code`] is stable: operators alert on it, and the answer contains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Refusal {
    /// The body is not a JSON object with a compact JWS as `event`, or a member occurs twice.
    Malformed,
    /// The body did not arrive in time.
    RequestTimeout,
    /// The body is larger than `server.max_body`.
    TooLarge,
    /// No key with the token's key id made this signature.
    BadSignature,
    /// The token names a key that is not in the key set (yet), or no key.
    UnknownKey,
    /// The algorithm is not RS256.
    BadAlgorithm,
    /// A header changes how the token is read (`crit`) or carries its own key (`jwk`, `jku`, …).
    UnsupportedHeader,
    /// `exp` is missing or has passed by more than the clock skew.
    Expired,
    /// `iat` is missing, or `iat` or `nbf` is in the future by more than the clock skew.
    NotYetValid,
    /// `iss` is not that of IDaaS event callbacks.
    WrongIssuer,
    /// `aud` is not this application.
    WrongAudience,
    /// `sub` is not the configured IDaaS instance.
    WrongInstance,
    /// The application requires encryption, and the callback is not encrypted.
    NotEncrypted,
    /// The sender's address is in none of the application's `allowed_networks`.
    AddressNotAllowed,
    /// The application or path does not exist.
    NotFound,
    /// The method is not POST.
    MethodNotAllowed,
    /// The body is compressed. IDaaS does not compress.
    UnsupportedEncoding,
    /// The callback is authentic, but no key decrypts it or its JWE is malformed.
    Undecryptable,
    /// The callback is authentic and decrypted, but its content is not a list of events.
    Unreadable,
    /// No key set of this application has been fetched yet.
    KeysUnavailable,
    /// Too many callbacks are in progress.
    Overloaded,
    /// The service is shutting down.
    Draining,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: [Self; 22] = [
        Self::Malformed,
        Self::RequestTimeout,
        Self::TooLarge,
        Self::BadSignature,
        Self::UnknownKey,
        Self::BadAlgorithm,
        Self::UnsupportedHeader,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongIssuer,
        Self::WrongAudience,
        Self::WrongInstance,
        Self::NotEncrypted,
        Self::AddressNotAllowed,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::UnsupportedEncoding,
        Self::Undecryptable,
        Self::Unreadable,
        Self::KeysUnavailable,
        Self::Overloaded,
        Self::Draining,
    ];

    /// Returns true if a callback refused for this reason is authentic, and is quarantined until it can be read.
    #[must_use]
    pub const fn is_quarantined(self) -> bool {
        matches!(self, Self::Undecryptable | Self::Unreadable)
    }

    /// Returns the stable code: the answer's `error`, the log line's `code`, and the metric's label.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.into()
    }

    /// Returns the HTTP status (RFC 9110 §15).
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::BadSignature
            | Self::UnknownKey
            | Self::BadAlgorithm
            | Self::UnsupportedHeader
            | Self::Expired
            | Self::NotYetValid
            | Self::WrongIssuer
            | Self::WrongAudience
            | Self::WrongInstance
            | Self::NotEncrypted => 401,
            Self::AddressNotAllowed => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::TooLarge => 413,
            Self::UnsupportedEncoding => 415,
            Self::Undecryptable | Self::Unreadable => 422,
            Self::KeysUnavailable | Self::Overloaded | Self::Draining => 503,
        }
    }

    /// Returns one sentence for the sender's log. It is constant, so it never contains input.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Malformed => "The body is not a JSON object with a compact JWS as \"event\".",
            Self::RequestTimeout => "The body did not arrive in time.",
            Self::TooLarge => "The body is larger than this service accepts.",
            Self::BadSignature => "The signature does not verify with the key that the token names.",
            Self::UnknownKey => {
                "The token names a key that is not in the application's key set; it is being fetched again."
            }
            Self::BadAlgorithm => "Only RS256 signatures are accepted.",
            Self::UnsupportedHeader => "The token's header has a member that is not supported.",
            Self::Expired => "The token has expired, or has no usable \"exp\".",
            Self::NotYetValid => "The token is not valid yet, or has no usable \"iat\".",
            Self::WrongIssuer => "The token's \"iss\" is not that of IDaaS event callbacks.",
            Self::WrongAudience => "The token's \"aud\" is not this application.",
            Self::WrongInstance => "The token's \"sub\" is not the configured IDaaS instance.",
            Self::NotEncrypted => "This application accepts encrypted callbacks only.",
            Self::AddressNotAllowed => "The sender's address is not in the application's allowed networks.",
            Self::NotFound => "There is no such application.",
            Self::MethodNotAllowed => "Callbacks must be sent by POST.",
            Self::UnsupportedEncoding => "Compressed bodies are not accepted.",
            Self::Undecryptable => "None of the configured keys decrypts the data.",
            Self::Unreadable => "The data is not a list of events.",
            Self::KeysUnavailable => "The application's public keys could not be fetched yet.",
            Self::Overloaded => "Too many callbacks are in progress.",
            Self::Draining => "The service is shutting down.",
        }
    }

    /// Returns the number of seconds after which a retry makes sense, for temporary refusals.
    #[must_use]
    pub const fn retry_after(self) -> Option<u32> {
        if self.status() == 503 { Some(1) } else { None }
    }
}
