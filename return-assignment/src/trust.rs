//! Who has to have signed what a builder sends.

use std::path::Path;

use anyhow::Context as _;
use common::config::Config;
use common::names::Builder;
use common::signature::{BuilderKeys, Keyring, SignatureError};

use crate::inspection::Refusal;
use crate::upload::Upload;

/// The signature policy.
pub(crate) struct Trust {
    keyring: Option<Keyring>,
    builder_keys: BuilderKeys,
}

impl Trust {
    pub(crate) fn from_config(config: &Config) -> anyhow::Result<Self> {
        let is_required = config.switch("require_signatures", true)?;
        Ok(Self {
            keyring: is_required.then(|| Keyring::from_config(config)).transpose()?,
            builder_keys: match config.path("builder_keys")? {
                Some(path) => BuilderKeys::read(&path)?,
                None => BuilderKeys::default(),
            },
        })
    }

    /// Looks at the signature of every package, one by one.
    ///
    /// # Errors
    /// Signatures cannot be checked.
    pub(crate) fn check(&self, upload: &Upload, builder: &Builder) -> anyhow::Result<Result<(), Refusal>> {
        let Some(keyring) = &self.keyring else {
            return Ok(Ok(()));
        };
        for (name, path) in upload.packages() {
            if let Some(reason) = self.distrust(keyring, builder, path, upload.signature_of(&name))? {
                return Ok(Err(Refusal::Untrusted(format!("{name}: {reason}"))));
            }
        }
        Ok(Ok(()))
    }

    /// Why a package is not trusted, if so.
    fn distrust(
        &self,
        keyring: &Keyring,
        builder: &Builder,
        file: &Path,
        signature: Option<&Path>,
    ) -> anyhow::Result<Option<String>> {
        let Some(signature) = signature else {
            return Ok(Some("it has no signature".to_owned()));
        };
        match keyring.verify(file, signature) {
            Ok(signer) if self.builder_keys.allow(builder, &signer) => Ok(None),
            Ok(signer) => Ok(Some(format!("{} is none of the keys of {builder}", signer.primary))),
            Err(SignatureError::Refused { reason, .. }) => Ok(Some(format!("the signature is not accepted: {reason}"))),
            Err(error) => Err(error).context("signatures cannot be checked"),
        }
    }
}
