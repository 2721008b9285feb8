//! An application of a test's configuration, with the keys of the IDaaS instance that sends to it.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use idaas_simulator::signing::SigningKey;
use idaas_simulator::tenant_keys::{Identity, TenantKeys};

/// The key that seals what must not be read by everybody, so that tests can open it.
pub(crate) const JOURNAL_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// One table `[[application]]` and the instance behind it.
#[derive(Clone)]
pub(crate) struct TestApplication {
    pub(crate) tenant_keys: Arc<TenantKeys>,
    /// Its name, if it is not the one of its identity.
    pub(crate) new_name: Option<String>,
    /// Lines of its table beyond name, ids, keys and prefix.
    pub(crate) lines: Vec<String>,
    /// The start of its topics' names.
    pub(crate) prefix: String,
    /// The value of `jwks`; a file with the instance's public key where it is not set.
    pub(crate) jwks: Option<String>,
    /// The decryption keys; the instance's own where there are none.
    pub(crate) decryption_keys: Vec<String>,
}

impl TestApplication {
    /// `workforce`, with keys that all tests share: making them costs a tenth of a second each time.
    pub(crate) fn workforce() -> Self {
        static MATERIAL: LazyLock<Arc<TenantKeys>> = LazyLock::new(|| Arc::new(TenantKeys::generate().unwrap()));
        Self::of(Arc::clone(&MATERIAL))
    }

    /// Another application, with keys of its own.
    pub(crate) fn named(name: &str) -> Self {
        Self::of(Arc::new(tenant_keys(Identity { application: name.to_owned(), ..Identity::generate() })))
    }

    /// The application of this instance.
    pub(crate) fn of(tenant_keys: Arc<TenantKeys>) -> Self {
        Self {
            tenant_keys,
            new_name: None,
            lines: Vec::new(),
            prefix: "idaas".to_owned(),
            jwks: None,
            decryption_keys: Vec::new(),
        }
    }

    /// The same instance, whose signing key was replaced under the same id.
    pub(crate) fn with_another_key(mut self) -> Self {
        let jwks = self.tenant_keys.jwks();
        let signing = SigningKey::generate(jwks["keys"][0]["kid"].as_str().unwrap()).unwrap();
        let (identity, key) = (self.tenant_keys.identity.clone(), self.tenant_keys.encryption_key());
        self.tenant_keys = Arc::new(TenantKeys::new(identity, signing, &key).unwrap());
        self
    }

    /// The same application of IDaaS under another name.
    pub(crate) fn named_anew(self, name: &str) -> Self {
        Self { new_name: Some(name.to_owned()), ..self }
    }

    /// With a prefix of its own.
    pub(crate) fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.to_owned();
        self.lines.push(format!("topic_prefix = {prefix:?}"));
        self
    }

    /// With one more line in its table.
    pub(crate) fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.new_name.as_deref().unwrap_or(&self.tenant_keys.identity.application)
    }

    /// Its table; writes its key set beside the configuration.
    pub(super) fn table(&self, directory: &Path) -> String {
        let Identity { application_id, instance_id, .. } = &self.tenant_keys.identity;
        let application = self.name();
        let file = format!("{application}.jwks.json");
        std::fs::write(directory.join(&file), self.tenant_keys.jwks().to_string()).unwrap();
        let jwks = self.jwks.clone().unwrap_or_else(|| format!("{{ file = {file:?} }}"));
        let own = self.tenant_keys.encryption_key();
        let keys = if self.decryption_keys.is_empty() { vec![own.to_string()] } else { self.decryption_keys.clone() };
        format!(
            "[[application]]\nname = {application:?}\nid = {application_id:?}\ninstance_id = {instance_id:?}\n\
             jwks = {jwks}\ndecryption_keys = {keys:?}\n{}\n",
            self.lines.join("\n")
        )
    }
}

/// Keys for an identity; the key id tells them apart.
pub(crate) fn tenant_keys(identity: Identity) -> TenantKeys {
    let key_id = format!("KEY{}", identity.application_id);
    let signing = SigningKey::generate(&key_id).unwrap();
    TenantKeys::new(identity, signing, &idaas_callback::jose::jwe::ContentKey::generate_hex()).unwrap()
}
